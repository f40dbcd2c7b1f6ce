-- load: there is no global 'io'
local f = io.open('/etc/passwd')
