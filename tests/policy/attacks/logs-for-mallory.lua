-- deny: budget_log
allow "x" { everyone = true, when = function(u)
  while u.username == 'mallory' do log('x') end
  return true
end }
