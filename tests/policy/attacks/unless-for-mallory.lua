-- deny: unless gave a string
allow "x" { everyone = true, unless = function(u)
  if u.username == 'mallory' then return 'yes' end
  return false
end }
