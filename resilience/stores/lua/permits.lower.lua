-- The provider refused a call for too many at a time: bear half of what was in flight. The twin of `lower` in resilience/_permits.py.

local state = live(KEYS[1])
if state.lowerings ~= arguments[1] then
  return reply({0})
end
local in_flight = math.max(1, count(state.holders))
state.most = math.max(1, math.min(most_of(state, arguments[2]), in_flight) / 2)
state.lowerings = state.lowerings + 1
keep(KEYS[1], state)
return reply({1})
