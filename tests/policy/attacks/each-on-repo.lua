-- load: use it in a for loop
allow "x" { everyone = true, when = function(u, r)
  local next = u.groups:each()
  return next(r) == nil
end }
