-- load: this table was frozen
allow "x" { everyone = true, when = function(u) env.seen = u.uid return true end }
