-- Twin of resilience/_bucket.py: look.

local slot = now
for index, key in ipairs(KEYS) do
  local spec = spec_of(arguments[1][index])
  slot = max(slot, turn_of(open_bucket(key, spec), spec).slot)
end
return reply({ slot > now + TOLERANCE and slot - now or 0 })
