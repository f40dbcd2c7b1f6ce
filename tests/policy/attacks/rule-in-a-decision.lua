-- load: rules are made while the file is loaded
allow "x" { everyone = true, when = function() allow "y" { everyone = true } return true end }
