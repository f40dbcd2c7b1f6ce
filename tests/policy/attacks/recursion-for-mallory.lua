-- deny: budget_memory
local function f(n) return 1 + f(n + 1) end
allow "x" { everyone = true, when = function(u)
  if u.username == 'mallory' then return f(1) > 0 end
  return true
end }
