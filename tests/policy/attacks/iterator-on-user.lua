-- load: use it in a for loop
allow "x" { everyone = true, when = function(u)
  local next = pairs({})
  return next(u) == nil
end }
