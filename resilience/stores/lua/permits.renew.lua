-- Begin the leases anew: the call is still in flight. The twin of `renew` in resilience/_permits.py.

local kept = 0
for _, key in ipairs(KEYS) do
  local state = live(key)
  if state.holders[arguments[1]] ~= nil then
    kept = kept + 1
  end
  hold(state, arguments[1], arguments[2])
  keep(key, state)
end
return reply({kept})
