-- load: this table was frozen
env.x = '1'
