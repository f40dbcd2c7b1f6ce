-- load: the message must be a string
error(function() end)
