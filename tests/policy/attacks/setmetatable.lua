-- load: there is no global 'setmetatable'
local t = setmetatable({}, {__gc = function() while true do end end})
