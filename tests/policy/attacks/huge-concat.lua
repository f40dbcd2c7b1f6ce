-- load: budget_memory
local s = 'xxxxxxxxxxxxxxxx'
for i = 1, 20 do s = s .. s end
local t = s..s..s..s..s..s..s..s
