-- load: 'limit' is not supported by this version
limit "x" {}
