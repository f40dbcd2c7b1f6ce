-- load: belongs to the function outside
local function counter()
  local n = 0
  return function() n = n + 1 return n end
end
local count = counter()
allow "x" { everyone = true, when = function() return count() > 1 end }
