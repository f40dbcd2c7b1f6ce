-- load: has no text
log(tostring({}))
