-- load: this table was frozen
local t = {}
t.t = t
allow "x" { everyone = true, when = function() t.t.t.x = 1 return true end }
