-- load: call it with a colon
allow "x" { everyone = true, when = function(u, r) return u.groups.has_repo(u.attributes, r) end }
