-- load: fewer arguments
log(str.fmt('%s %s', 'x'))
