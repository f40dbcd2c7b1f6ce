-- load: a rule may not keep 'state'
local next, state = pairs({1, 2, 3})
allow "x" { everyone = true, when = function() return next(state) == 1 end }
