-- load: call it with a colon
allow "x" { everyone = true, when = function(u, r) return u.in_group(r, 'admins') end }
