-- load: env has no 'secret'
local s = env.secret
