-- Give units back to a quota, never above its capacity.
local capacity, amount = arguments[1], arguments[2]
local state = load(KEYS[1])
local left = state and math.min(capacity, state.left + amount) or capacity
if state then save(KEYS[1], {left = left}, 86400) end
return reply({left})
