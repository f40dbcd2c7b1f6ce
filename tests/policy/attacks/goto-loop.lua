-- load: budget_instructions
::top::
local t = {}
goto top
