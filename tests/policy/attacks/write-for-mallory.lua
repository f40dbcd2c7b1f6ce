-- deny: this table was frozen
local box = { inner = {} }
allow "x" { everyone = true, when = function(u)
  if u.username == 'mallory' then box.inner.x = 1 end
  return box.inner.x == nil
end }
