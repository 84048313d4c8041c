-- What came of a call: `record` of _breaker_state.py.

local settings, generation, probe, result, retry_after, chance = unpack(arguments)
local key = KEYS[1]
local state = load(key)
if state == nil then
  state = fresh()
end
if state.generation ~= generation then
  return reply({ 0, 0, generation, -1, -1 })
end
local old = state.state
local place = old == HALF_OPEN and place_of(state, generation, probe)
if old == CLOSED then
  count(state, settings[3], result)
  if result == FAILURE and is_too_much(state, settings) then
    trip(state, settings, retry_after, chance)
  end
elseif place then
  table.remove(state.leased, place)
  table.remove(state.due, place)
  if result == SUCCESS then
    state.passed = state.passed + 1
    if state.passed >= settings[11] then
      enter(state, CLOSED)
    end
  else
    state.failed = state.failed + 1
    if state.failed > settings[12] - settings[11] then
      trip(state, settings, retry_after, chance)
    end
  end
else
  return reply({ 0, 0, generation, old, old })
end
local wait = state.state == OPEN and math.max(0, state.ends - now) or 0
save(key, state, math.max(IDLE, settings[3]) + wait)
return reply({ 1, wait, state.generation, old, state.state })
