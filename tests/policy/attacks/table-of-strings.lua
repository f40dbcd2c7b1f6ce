-- load: budget_memory
local t, s = {}, 'x'
for i = 1, 1e9 do s = s .. i t[i] = s end
