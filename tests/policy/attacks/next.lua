-- load: there is no global 'next'
local k = next({})
