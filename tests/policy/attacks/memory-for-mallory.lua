-- deny: budget_memory
allow "x" { everyone = true, when = function(u)
  local t = {}
  if u.username == 'mallory' then for i = 1, 1e9 do t[i] = {i} end end
  return true
end }
