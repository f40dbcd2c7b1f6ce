-- load: this table was frozen
local cfg = { a = { b = {} } }
allow "x" { everyone = true, when = function(u) cfg.a.b.x = true return true end }
