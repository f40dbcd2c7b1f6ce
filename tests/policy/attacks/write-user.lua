-- load: cannot be written
allow "x" { everyone = true, when = function(u) u.username = 'root' return true end }
