-- Give a probe back of which nothing is to be learnt: `release` of _breaker_state.py.

local generation, probe = arguments[1], arguments[2]
local key = KEYS[1]
local state = load(key)
local place = state and place_of(state, generation, probe)
if not place then
  return reply({ 0 })
end
table.remove(state.leased, place)
table.remove(state.due, place)
save(key, state, IDLE)
return reply({ 1 })
