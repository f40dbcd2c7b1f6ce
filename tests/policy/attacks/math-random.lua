-- load: math has no 'random'
local x = math.random()
