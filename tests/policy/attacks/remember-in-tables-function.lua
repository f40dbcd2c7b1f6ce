-- load: this table was frozen
local store = {}
local box = { get = function() return store end }
allow "x" { everyone = true, when = function(u) box.get().x = 1 return true end }
