-- load: there is no global 'dofile'
dofile('/etc/passwd')
