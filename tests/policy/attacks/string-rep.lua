-- load: there is no global 'string'
local s = string.rep('x', 1e9)
