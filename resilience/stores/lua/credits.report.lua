-- Take the provider's word on what is left of its account. The twin of `report` in resilience/_credits_corrections.py.

local balance, seconds, row = unpack(arguments)
local rows = {}
local state = budget_of(KEYS[2], BALANCE, 0, rows)
local missing = 0
if state.limit >= 0 and next(state.open) == nil then
  missing = math.max(0, state.limit - spent_of(state) - balance)
end
state.limit, state.seen = balance, now
forget(state)
if missing ~= 0 then
  rows[#rows + 1] = charged_row(row, missing)
end
keep(KEYS[2], state, seconds)
write(KEYS[1], rows)
return reply({ missing })
