-- load: _ENV is not for policies
local _ENV = {}
x = 1
