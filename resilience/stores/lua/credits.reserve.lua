-- Reserve the worst that a call may cost of all its budgets, or of none. The twin of `reserve` in resilience/_credits_state.py.

local call, latches, obeys, lease, counts, row = unpack(arguments, 1, 6)
local specs = { unpack(arguments, 7) }
local shut, page, budgets = keys_of(latches, #specs)

local function lasting(state, spec, spent, seconds)
  local _, amount, _, period = unpack(spec)
  if seconds >= 0 then
    return seconds
  end
  if amount > state.limit then
    return LARGEST
  end
  return spent + amount > state.limit and period or 0
end

local function refusal_of(states)
  local found
  local obeyed, longest = false, 0
  for index, state in ipairs(states) do
    local limit, amount, _, _, warns, manner = unpack(specs[index])
    local spent = spent_of(state)
    local left = math.max(0, state.limit - spent - state.reserved)
    if manner ~= 0 and state.limit >= 0 and amount > left and not (limit == BALANCE and now >= state.seen + warns) then
      local looks_in = math.max(0, state.seen + warns - now)
      local seconds = limit == BALANCE and looks_in or seconds_until(state, amount)
      local lasts = lasting(state, specs[index], spent, seconds)
      if found == nil or (manner == 1 and not obeyed) or ((manner == 1) == obeyed and lasts > longest) then
        found = { 1, index - 1, seconds, left, spent, state.reserved }
        obeyed, longest = manner == 1, lasts
      end
    end
  end
  return found
end

local function open(state, reservation, spec)
  local limit, amount, _, _, warns = unpack(spec)
  local used = spent_of(state) + state.reserved
  local left = math.max(0, state.limit - used)
  if limit == BALANCE and state.limit >= 0 and amount > left and now >= state.seen + warns then
    state.seen = now
  end
  reservation[1] = math.min(amount, LARGEST - state.reserved)
  state.earliest = math.min(state.earliest ~= 0 and state.earliest or reservation[2], reservation[2])
  state.open[call] = reservation
  state.reserved = state.reserved + reservation[1]
  if limit == BALANCE or warns < 0 then
    return false
  end
  local before = 2 * used >= warns and state.warned or 0
  state.warned = (before ~= 0 or used + amount >= warns) and 1 or 0
  return state.warned ~= 0 and before == 0
end

local passed, latch, seconds = unpack(ask(shut, call))
if passed == 0 and obeys ~= 0 then
  return reply({ 0, 2, latch, seconds, 0, 0, 0, 0 })
end
local rows, states = {}, {}
for index, key in ipairs(budgets) do
  states[index] = budget_of(key, specs[index][1], specs[index][3], rows)
end
for _, state in ipairs(states) do
  if free(state, call) ~= nil then
    rows[#rows + 1] = {}
  end
end
local refusal = refusal_of(states)
local granted = refusal == nil or specs[refusal[2] + 1][6] == 2
local warned = 0
if granted then
  for index, state in ipairs(states) do
    local counted = math.floor(counts / 2 ^ (index - 1)) % 2
    local reservation = { specs[index][2], now + lease, counted, index == 1 and row or 0 }
    if open(state, reservation, specs[index]) then
      warned = warned + 2 ^ (index - 1)
    end
  end
  if passed > 1 then
    look(shut, call)
  end
end
if granted or #rows > 0 then
  for index, key in ipairs(budgets) do
    keep(key, states[index], math.max(specs[index][4], lease + LATE_SECONDS))
  end
  write(page, rows)
end
if refusal == nil then
  refusal = passed == 1 and { 0, -1, 0, 0, 0, 0 } or { 2, latch, seconds, 0, 0, 0 }
end
return reply({ granted and 1 or 0, refusal[1], refusal[2], refusal[3], refusal[4], refusal[5], refusal[6], warned })
