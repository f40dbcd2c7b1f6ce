-- load: 'helper' would be a global
function helper() return true end
