-- load: this table was frozen
local key = {}
local box = { [key] = true }
allow "x" { everyone = true, when = function() for k in pairs({1}) do end local t = box t.x = key return true end }
