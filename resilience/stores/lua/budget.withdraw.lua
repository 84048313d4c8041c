-- Take one retry from a ratio, after counting the calls that a process has made since it last asked.
local SLOTS = 10
local ratio, per_second, window, made = arguments[1], arguments[2], arguments[3], arguments[4]
local slot = math.floor(now * SLOTS / window)
local state = load(KEYS[1])
if state and state.slot > slot then slot = state.slot end
local passed = state and math.min(slot - state.slot, SLOTS) or SLOTS
local calls, retries = {}, {}
for part = 1, SLOTS do
  calls[part] = part > passed and state.calls[part - passed] or 0
  retries[part] = part > passed and state.retries[part - passed] or 0
end
for part = 1, #made do calls[part] = calls[part] + made[part] end
local called, retried = 0, 0
for part = 1, SLOTS do
  called = called + calls[part]
  retried = retried + retries[part]
end
local left = per_second * window + ratio * called - retried
local granted = left >= 1 - 1e-9
if granted then
  retries[1] = retries[1] + 1
  left = left - 1
end
save(KEYS[1], {slot = slot, calls = calls, retries = retries}, window)
return reply({granted and 1 or 0, left, slot})
