-- load: attempt to index a string
allow "x" { everyone = true, when = function(u) local s = '' s.seen = u.uid return true end }
