-- deny: when gave a number
allow "x" { everyone = true, when = function(u)
  if u.username == 'mallory' then return 1 end
  return true
end }
