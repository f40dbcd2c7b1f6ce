-- load: 'counter' would be a global
counter = 1
