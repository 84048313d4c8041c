-- Whether scripts may run here, ask for the time and write, as decisions do; what says the key again has run one.

redis.call('TIME')
redis.call('SET', KEYS[1], '1', 'PX', 1000)
return KEYS[1]
