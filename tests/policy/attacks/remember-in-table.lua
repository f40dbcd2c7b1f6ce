-- load: this table was frozen
local seen = {}
allow "x" { everyone = true, when = function(u) seen[u.uid] = true return true end }
