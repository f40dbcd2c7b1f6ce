-- load: strings have no methods
local s = ('x'):rep(1e9)
