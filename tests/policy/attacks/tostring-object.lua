-- load: has no text
allow "x" { everyone = true, when = function(u) return tostring(u) == '' end }
