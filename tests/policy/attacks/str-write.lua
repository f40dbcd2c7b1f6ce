-- load: this table was frozen
str.lower = str.upper
