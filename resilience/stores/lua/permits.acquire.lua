-- Take a place under every key, or under none. The twin of `acquire` in resilience/_permits.py.

local holder, lease = arguments[1], arguments[2]
local states = {}
for index, key in ipairs(KEYS) do
  local state = live(key)
  local holders, most = state.holders, most_of(state, arguments[2 + index])
  if holders[holder] == nil and count(holders) + 1 > most then
    local earliest = math.huge
    for _, ends in pairs(holders) do
      earliest = math.min(earliest, ends)
    end
    return reply({0, earliest - now, index - 1, most})
  end
  states[index] = state
end
local answer = {1, 0, -1}
for index, key in ipairs(KEYS) do
  local state = states[index]
  state.number = arguments[2 + index]
  hold(state, holder, lease)
  keep(key, state)
  answer[#answer + 1] = state.lowerings
  answer[#answer + 1] = state.most and 1 or 0
end
return reply(answer)
