-- load: there is no global 'rawget'
local x = rawget(env, 'x')
