-- load: budget_log
for i = 1, 1000 do log('again') end
