-- load: there is no global 'package'
local p = package.loaded
