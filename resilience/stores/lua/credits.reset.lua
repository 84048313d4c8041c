-- Forget by hand what was spent. The twin of `reset` in resilience/_credits_corrections.py.

local found = 0
for _, key in ipairs(KEYS) do
  local state = load(key)
  if state ~= nil then
    if spent_of(state) > 0 or (arguments[1] ~= 0 and state.limit >= 0) then
      found = found + 1
    end
    if arguments[1] ~= 0 then
      state.limit = -1
    end
    forget(state)
    keep(key, state, 0)
  end
end
return reply({ found })
