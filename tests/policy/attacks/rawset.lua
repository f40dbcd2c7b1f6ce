-- load: there is no global 'rawset'
rawset(env, 'x', 1)
