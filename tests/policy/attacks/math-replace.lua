-- load: 'math' would be a global
math = {}
