-- deny: budget_
allow "x" { everyone = true, when = function(u)
  local s = 'xxxxxxxxxxxxxxxx'
  if u.username == 'mallory' then
    for i = 1, 13 do s = s .. s end
    local a, b = s .. 'a', s .. 'b'
    while a < b do end
  end
  return true
end }
