-- load: near <eof>
allow "x" {
