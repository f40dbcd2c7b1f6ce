-- load: _ENV is not for policies
local e = _ENV
