-- Twin of resilience/_bucket.py: correct.

local remaining, reset_in, spec = arguments[1], arguments[2], spec_of(arguments[3])
local state = open_bucket(KEYS[1], spec)
local level = LEVELS[spec.algorithm]
reset_in = reset_in > 0 and min(reset_in, LONGEST) or 0
if remaining < 1 and reset_in > 0 then
  stop_clock(state, spec, reset_in)
  forget_word(state)
  save_bucket(KEYS[1], state, spec)
  return reply({ 0 })
end
remaining = max(0, remaining)
local free = level:free(state, now, spec)
local lowers = spec.algorithm == 'token_bucket' or reset_in == 0
if lowers and remaining < free - TOLERANCE and free < math.huge then
  level:charge(state, now, now, with_cost(spec, free - remaining))
  state.last = nil
end
local holes, open = state.holes or {}, 0
for index = 2, #holes, 2 do
  open = open + holes[index]
end
local waiting = free < math.huge and min(0, floor(free + open + TOLERANCE)) or 0
local left = remaining + waiting
if reset_in > 0 and (left <= (state.left or left) or now + reset_in > state.left_until + COARSE) then
  state.left, state.left_since, state.left_until = left, now, now + reset_in
end
save_bucket(KEYS[1], state, spec)
return reply({ max(0, min(left, state.left or left)) })
