-- load: 'seen' would be a global
allow "x" { everyone = true, when = function(u) seen = u.uid return true end }
