-- load: U+202E
local x = 'a‮b'
