-- load: there is no global 'load'
load('while true do end')()
