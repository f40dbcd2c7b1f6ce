-- load: this table was frozen
math.x = 1
