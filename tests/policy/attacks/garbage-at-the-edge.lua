-- deny: budget_
allow "x" { everyone = true, when = function(u)
  local keep, s = {}, 'xxxxxxxxxxxxxxxx'
  for i = 1, 11 do s = s .. s end
  if u.username == 'mallory' then
    for i = 1, 30 do keep[i] = s .. i end
    for i = 1, 1e9 do local g = s .. i end
  end
  return true
end }
