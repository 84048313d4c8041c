-- Put it into a state by hand: `force` of _breaker_state.py.

local wanted, seconds = arguments[1], arguments[2]
local key = KEYS[1]
local state = load(key)
if state == nil then
  state = fresh()
end
local old = state.state
enter(state, wanted)
state.ends = now + seconds
save(key, state, wanted == ISOLATED and FOR_EVER or IDLE + seconds)
return reply({ old, wanted })
