-- load: there is no global '_G'
_G.x = 1
