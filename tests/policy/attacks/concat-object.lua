-- load: attempt to concatenate
allow "x" { everyone = true, when = function(u) return ('x' .. u) == 'x' end }
