-- Whether a call may go: `admit` of _breaker_state.py.

local settings, lease, generation, probe = arguments[1], arguments[2], arguments[3], arguments[4]
local key = KEYS[1]
local state = load(key)
if state == nil then
  return reply({ ADMITTED, 0, 0, 0, CLOSED, CLOSED, 0 })
end
local old = state.state
if old == CLOSED then
  return reply({ ADMITTED, 0, state.generation, 0, CLOSED, CLOSED, now - state.since })
end
if old == ISOLATED then
  return reply({ REFUSED, -1, state.generation, 0, ISOLATED, ISOLATED, now - state.since })
end
if old == OPEN then
  if now < state.ends then
    return reply({ REFUSED, state.ends - now, state.generation, 0, OPEN, OPEN, now - state.since })
  end
  enter(state, HALF_OPEN)
end
local renewed = place_of(state, generation, probe)
if renewed then
  state.due[renewed] = now + lease
else
  drop_expired(state)
  if #state.leased >= settings[10] then
    local wait = math.min(math.min(unpack(state.due)) - now, settings[5])
    return reply({ REFUSED, wait, state.generation, 0, HALF_OPEN, HALF_OPEN, now - state.since })
  end
  state.issued = state.issued + 1
  probe = state.issued
  state.leased[#state.leased + 1] = probe
  state.due[#state.due + 1] = now + lease
end
save(key, state, IDLE + lease)
return reply({ PROBE, 0, state.generation, probe, old, HALF_OPEN, now - state.since })
