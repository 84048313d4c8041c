-- Begin the lease anew, under the same name or another. The twin of `renew` in resilience/_credits_state.py.

local call, name, lease = unpack(arguments)
local found = 0
for _, key in ipairs(KEYS) do
  local state = load(key)
  if state ~= nil then
    found = found + (rename(state, call, name, now + lease) and 1 or 0)
    keep(key, state, lease + (name == call and LATE_SECONDS or JOB_SECONDS))
  end
end
return reply({ found })
