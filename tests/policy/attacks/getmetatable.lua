-- load: there is no global 'getmetatable'
getmetatable('').__index.lower = nil
