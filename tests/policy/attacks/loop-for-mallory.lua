-- deny: budget_instructions
allow "x" { everyone = true, when = function(u) if u.username == 'mallory' then while true do end end return true end }
