-- load: there is no global 'pcall'
pcall(function() while true do end end)
