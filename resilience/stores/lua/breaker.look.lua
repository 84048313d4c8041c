-- How it stands, without changing it: `look` of _breaker_state.py.

local settings = arguments[1]
local state = load(KEYS[1])
if state == nil then
  return reply({ CLOSED, 0, 0, 0 })
end
local wait = 0
if state.state == ISOLATED then
  wait = -1
elseif state.state == OPEN then
  wait = math.max(0, state.ends - now)
elseif state.state == HALF_OPEN then
  local due = {}
  for _, ends in ipairs(state.due) do
    if ends > now then
      due[#due + 1] = ends
    end
  end
  if #due >= settings[10] then
    wait = math.min(math.min(unpack(due)) - now, settings[5])
  end
end
return reply({ state.state, wait, now - state.since, state.failures })
