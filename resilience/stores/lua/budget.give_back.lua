-- Undo a `withdraw` whose retry was not sent.
local SLOTS = 10
local window, taken = arguments[1], arguments[2]
local slot = math.floor(now * SLOTS / window)
local state = load(KEYS[1])
if not state then return reply({0}) end
if state.slot > slot then slot = state.slot end
local passed = math.min(slot - state.slot, SLOTS)
local age = slot - taken
local part = age + 1 - passed
if age < 0 or age >= SLOTS or part < 1 or state.retries[part] < 1 then return reply({0}) end
state.retries[part] = state.retries[part] - 1
local calls, retries = {}, {}
for each = 1, SLOTS do
  calls[each] = each > passed and state.calls[each - passed] or 0
  retries[each] = each > passed and state.retries[each - passed] or 0
end
save(KEYS[1], {slot = slot, calls = calls, retries = retries}, window)
return reply({1})
