-- deny: when gave a nil
allow "x" { everyone = true, when = function(u)
  if u.username ~= 'mallory' then return true end
end }
