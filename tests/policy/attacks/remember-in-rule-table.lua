-- load: this table was frozen
local spec = { everyone = true, groups = nil }
spec.when = function() spec.n = (spec.n or 0) + 1 return true end
allow "x" (spec)
