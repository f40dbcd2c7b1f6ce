-- load: lists have :count()
allow "x" { everyone = true, when = function(u) return #u.groups > 0 end }
