-- load: cannot be written
allow "x" { everyone = true, when = function(u) u.in_group = function() return true end return true end }
