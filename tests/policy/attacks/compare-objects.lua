-- load: objects cannot be compared
allow "x" { everyone = true, when = function(u) return u.attributes == u.claims end }
