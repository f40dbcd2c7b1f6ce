-- load: attempt to perform arithmetic on a string
local x = '10' + 1
