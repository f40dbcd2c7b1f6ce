-- load: attempt to index a string
local s = 'x'
s.y = 1
