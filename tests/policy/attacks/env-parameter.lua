-- load: _ENV is not for policies
local function f(_ENV) return x end
