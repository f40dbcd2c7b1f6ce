-- deny: budget_instructions
allow "everyone" { everyone = true }
deny "x" { everyone = true, when = function(u)
  while u.username == 'mallory' do end
  return false
end }
