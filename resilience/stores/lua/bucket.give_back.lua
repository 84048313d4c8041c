-- Twin of resilience/_bucket.py: give_back.

if not load(KEYS[1]) then
  return reply({ 0 })
end
local spec, slot, shift = spec_of(arguments[1]), arguments[2], arguments[3]
local state = open_bucket(KEYS[1], spec)
local level = LEVELS[spec.algorithm]
local holes = state.holes or {}
local at_once = shift < 0
if not at_once then
  slot = slot + max(0, (state.shift or 0) - shift)
end
local result = level:undo(state, slot, now, spec, at_once) and 1 or 0
if result == 1 then
  undo_holes(state, spec)
elseif not at_once and slot >= now - TOLERANCE and #holes < 2 * MOST_HOLES then
  holes[#holes + 1] = slot
  holes[#holes + 1] = spec.cost
  state.holes = holes
  result = 2
end
if result > 0 and slot < (state.left_until or slot) and not (at_once and slot < state.left_since) then
  state.left = state.left + spec.cost
end
save_bucket(KEYS[1], state, spec)
return reply({ result })
