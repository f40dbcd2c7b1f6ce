-- load: 'data' is not supported by this version
local t = data "freeze"
