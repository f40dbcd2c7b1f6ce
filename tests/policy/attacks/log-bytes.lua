-- load: budget_log
local s = 'a'
for i = 1, 20 do s = s .. s end
log(s) log(s)
