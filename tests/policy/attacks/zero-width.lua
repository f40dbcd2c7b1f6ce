-- load: U+200B
local adm​in = 1
