-- load: _ENV is not for policies
local _ENV <const> = 11
X = 'hi'
