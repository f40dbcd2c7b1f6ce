-- load: this table was frozen
allow "x" { everyone = true, when = function(u) math.seen = u.uid return true end }
