-- A call succeeded under a lowered number: bear a little more. The twin of `raise_` in resilience/_permits.py.

local state = live(KEYS[1])
local most, documented = state.most, arguments[2]
if most == nil or state.lowerings ~= arguments[1] then
  return reply({0})
end
if documented == 0 and count(state.holders) + 1 <= most then
  return reply({0})
end
state.most = most + 1 / most
if documented ~= 0 and state.most >= documented then
  state.most = nil
end
keep(KEYS[1], state)
return reply({1})
