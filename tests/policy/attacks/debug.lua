-- load: there is no global 'debug'
debug.sethook()
