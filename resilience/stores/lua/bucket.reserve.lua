-- Twin of resilience/_bucket.py: reserve.

local max_wait, specs = arguments[1], arguments[2]
local states, turns, slowest = {}, {}, 1
for index, key in ipairs(KEYS) do
  specs[index] = spec_of(specs[index])
  states[index] = open_bucket(key, specs[index])
  turns[index] = turn_of(states[index], specs[index])
  if turns[index].slot > turns[slowest].slot then
    slowest = index
  end
end
local slot = turns[slowest].slot
if slot <= now + TOLERANCE then
  for index, key in ipairs(KEYS) do
    take(states[index], specs[index], turns[index], now)
    save_bucket(key, states[index], specs[index])
  end
  return reply({ 1, 0, -1, now, -1 })
end
local shift = states[slowest].shift or 0
if slot - now > max_wait + TOLERANCE then
  return reply({ 0, slot - now, slowest - 1, slot, shift })
end
take(states[slowest], specs[slowest], turns[slowest], slot)
save_bucket(KEYS[slowest], states[slowest], specs[slowest])
return reply({ 1, slot - now, slowest - 1, slot, shift })
