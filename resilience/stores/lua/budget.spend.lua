-- Take the cost of one retry from a quota; what does not suffice is left untouched.
local capacity, cost = arguments[1], arguments[2]
local state = load(KEYS[1])
local left = state and state.left or capacity
local granted = left >= cost
if granted then
  left = left - cost
  save(KEYS[1], {left = left}, 86400)
end
return reply({granted and 1 or 0, left})
