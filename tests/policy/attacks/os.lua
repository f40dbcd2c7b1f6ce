-- load: there is no global 'os'
os.execute('id')
