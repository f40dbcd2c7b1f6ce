-- load: a rule may not keep 'a'
local a = allow
allow "x" { everyone = true, when = function() a "y" { everyone = true } return true end }
