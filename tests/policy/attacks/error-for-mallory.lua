-- deny: no mallory
allow "x" { everyone = true, when = function(u)
  if u.username == 'mallory' then error('no mallory') end
  return true
end }
