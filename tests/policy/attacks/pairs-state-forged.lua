-- load: use it in a for loop
local f = pairs({})
f(allow)
