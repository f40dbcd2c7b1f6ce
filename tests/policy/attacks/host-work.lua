-- load: budget_host_work
local s = 'a'
for i = 1, 20 do s = s .. s end
for i = 1, 100 do local x = str.contains(s, 'b') end
