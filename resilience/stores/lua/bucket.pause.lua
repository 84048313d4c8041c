-- Twin of resilience/_bucket.py: pause.

local seconds, spec = arguments[1], spec_of(arguments[2])
local state = open_bucket(KEYS[1], spec)
stop_clock(state, spec, seconds)
save_bucket(KEYS[1], state, spec)
return reply({ max(0, (state.paused_until or now) - now) })
