-- load: 'require' is not supported by this version
local t = require "lib.teams"
