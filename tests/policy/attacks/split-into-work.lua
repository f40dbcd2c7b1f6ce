-- load: budget_host_work
local s = 'a'
for i = 1, 10 do s = s .. s end
while true do local t = str.split(s, 'a') end
