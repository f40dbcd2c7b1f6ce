-- load: there is no global 'coroutine'
local f = coroutine.wrap(function() while true do end end)
f()
