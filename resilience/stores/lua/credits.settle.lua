-- End a reservation: what it cost counts as spent, the rest is free again. The twin of `settle` in resilience/_credits_state.py.

local call, latches, word, elsewhere, row = unpack(arguments, 1, 5)
local charges = { unpack(arguments, 6) }
local shut, page, budgets = keys_of(latches, #charges)
answer(shut, call, word)
local rows = {}
local ended, counts = false, elsewhere ~= 0 and is_first(KEYS[#KEYS], call)
for index, key in ipairs(budgets) do
  local charged, window, seconds = unpack(charges[index])
  local count = #rows
  local state = budget_of(key, BALANCE, window, rows)
  local change = end_(state, call, charged, counts)
  if change ~= nil then
    ended = ended or index == 1
    rows[#rows + 1] = index == 1 and (change ~= 0 or word >= 0) and charged_row(row, change) or {}
  end
  if #rows > count then
    keep(key, state, seconds)
  end
end
write(page, rows)
return reply({ ended and 1 or 0 })
