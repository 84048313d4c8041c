-- Twin of resilience/_bucket.py: confirm.

local state = load(KEYS[1])
if not state then
  return reply({ 0, 0 })
end
local shift = state.shift or 0
local wait = max(0, shift - max(0, arguments[1]), (state.paused_until or now) - now)
return reply({ wait > TOLERANCE and wait or 0, shift })
