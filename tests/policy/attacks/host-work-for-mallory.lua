-- deny: budget_host_work
allow "x" { everyone = true, when = function(u)
  local s = 'xxxxxxxxxxxxxxxx'
  if u.username == 'mallory' then
    for i = 1, 12 do s = s .. s end
    while not str.contains(s, 'y') do end
  end
  return true
end }
