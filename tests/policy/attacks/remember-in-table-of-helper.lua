-- load: this table was frozen
local seen = {}
local function add(x) seen[#seen + 1] = x return #seen end
allow "x" { everyone = true, when = function(u) return add(u.uid) > 1 end }
