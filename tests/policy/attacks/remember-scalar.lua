-- load: belongs to the function outside
local n = 0
allow "x" { everyone = true, when = function() n = n + 1 return n > 1 end }
