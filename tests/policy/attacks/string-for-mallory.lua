-- deny: budget_memory
allow "x" { everyone = true, when = function(u)
  local s = 'xxxxxxxxxxxxxxxx'
  if u.username == 'mallory' then while true do s = s .. s end end
  return true
end }
