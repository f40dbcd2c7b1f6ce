-- load: fewer arguments
log(str.fmt('%s%s%s%s', 'x'))
