-- load: did you mean 'allow'?
alow "x" { everyone = true }
