-- load: budget_instructions
local function f() return f() end
f()
