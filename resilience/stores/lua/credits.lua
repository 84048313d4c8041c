-- What the scripts of credits share: twins of the helpers in resilience/_budget_state.py.
--
-- A whole number up to 2^53 - 1 is exact in a Lua number and in MessagePack; a larger sum is cut down to that.

local SLOTS, BALANCE, LARGEST = 60, -2, 9007199254740991
local MOST_ROWS, MOST_NAMES, MOST_TOLD = 32, 256, 512
local LEDGER_SECONDS, LATE_SECONDS, JOB_SECONDS = 35 * 86400, 86400, 7 * 86400

local function new(limit, window)
  return {
    limit = math.max(limit, -1),
    window = window,
    slots = {},
    reserved = 0,
    open = {},
    earliest = 0,
    lost = {},
    warned = 0,
    seen = now,
    keeps = now,
  }
end

local function slot_of(state)
  return state.window ~= 0 and math.floor(now * SLOTS / state.window) or 0
end

local function spent_of(state)
  local oldest = slot_of(state) - SLOTS
  local spent = 0
  for _, slot in ipairs(state.slots) do
    if slot[1] >= oldest then
      spent = math.min(spent + slot[2], LARGEST)
    end
  end
  return spent
end

local function forget(state)
  state.slots, state.warned = {}, 0
  for _, each in ipairs(state.lost) do
    each[4] = -1
  end
end

local function spend(state, amount)
  if amount == 0 then
    return
  end
  local slot, slots = slot_of(state), state.slots
  if #slots > 0 and slots[#slots][1] == slot then
    slots[#slots][2] = math.min(slots[#slots][2] + amount, LARGEST)
  else
    slots[#slots + 1] = { slot, amount }
  end
end

-- A row of the ledger with its charge; an empty one where there is no row.
local function charged_row(row, charged)
  local made = {}
  if row ~= 0 then
    for index, value in ipairs(row) do
      made[index] = value
    end
    made[#made + 1] = charged
  end
  return made
end

-- As Python sorts: by bytes. The operator `<` asks the server's locale.
local function before(one, other)
  for index = 1, math.min(#one, #other) do
    local mine, its = string.byte(one, index), string.byte(other, index)
    if mine ~= its then
      return mine < its
    end
  end
  return #one < #other
end

local function lose(state, rows)
  local earliest, calls = 0, {}
  for call in pairs(state.open) do
    calls[#calls + 1] = call
  end
  table.sort(calls, before)
  for _, call in ipairs(calls) do
    local amount, ends, counts, row = unpack(state.open[call])
    if ends > now then
      earliest = math.min(earliest ~= 0 and earliest or ends, ends)
    else
      state.open[call] = nil
      state.reserved = state.reserved - amount
      local charged = counts ~= 0 and amount or 0
      spend(state, charged)
      state.lost[#state.lost + 1] = { call, charged, amount, slot_of(state) }
      rows[#rows + 1] = charged_row(row, charged)
    end
  end
  while #state.lost > MOST_NAMES do
    table.remove(state.lost, 1)
  end
  state.earliest = earliest
end

local function budget_of(key, limit, window, rows)
  local state = load(key) or new(limit, window)
  if limit ~= BALANCE and limit ~= state.limit then
    state.limit = limit
    rows[#rows + 1] = {}
  end
  if state.earliest ~= 0 and state.earliest <= now then
    lose(state, rows)
  end
  if state.window ~= 0 then
    local oldest = slot_of(state) - SLOTS
    while #state.slots > 0 and state.slots[1][1] < oldest do
      table.remove(state.slots, 1)
    end
  end
  return state
end

local function free(state, call)
  local reservation = state.open[call]
  if reservation ~= nil then
    state.open[call] = nil
    state.reserved = state.reserved - reservation[1]
    if next(state.open) == nil then
      state.earliest, state.reserved = 0, 0
    end
  end
  return reservation
end

local function is_first(key, call)
  local state = load(key) or { names = {} }
  local names = state.names
  for _, name in ipairs(names) do
    if name == call then
      return false
    end
  end
  names[#names + 1] = call
  while #names > MOST_TOLD do
    table.remove(names, 1)
  end
  save(key, state, LATE_SECONDS)
  return true
end

local function take_back(state, lost, amount)
  for _, each in ipairs(lost) do
    local counted, part = each[2], each[4]
    for _, slot in ipairs(state.slots) do
      if slot[1] == part then
        slot[2] = math.max(0, slot[2] - math.min(counted, amount))
      end
    end
    amount = amount - math.min(counted, amount)
  end
end

-- `end` is a word of Lua's own.
local function end_(state, call, charged, elsewhere)
  local reservation = free(state, call)
  local lost, others = {}, {}
  for _, each in ipairs(state.lost) do
    local list = each[1] == call and lost or others
    list[#list + 1] = each
  end
  if reservation == nil and #lost == 0 and not elsewhere then
    return nil
  end
  local amount, counted = reservation ~= nil and reservation[1] or 0, 0
  for _, each in ipairs(lost) do
    amount, counted = math.min(amount + each[3], LARGEST), math.min(counted + each[2], LARGEST)
  end
  state.lost = others
  local change = (charged < 0 and amount or charged) - counted
  spend(state, math.max(0, change))
  take_back(state, lost, math.max(0, -change))
  return change
end

local function rename(state, call, name, ends)
  for _, each in ipairs(state.lost) do
    if each[1] == call then
      each[1] = name
    end
  end
  local reservation = state.open[call]
  state.open[call] = nil
  local other = state.open[name]
  state.open[name] = nil
  if reservation == nil or other == nil then
    reservation = reservation or other
  else
    local row = reservation[4] ~= 0 and reservation[4] or other[4]
    reservation = { reservation[1] + other[1], ends, math.max(reservation[3], other[3]), row }
  end
  if reservation == nil then
    return false
  end
  reservation[2] = ends
  state.open[name] = reservation
  state.earliest = math.min(state.earliest, ends)
  return true
end

local function seconds_until(state, amount)
  local needed = spent_of(state) + (amount - state.limit)
  if amount > state.limit or needed <= 0 then
    return -1
  end
  for _, slot in ipairs(state.window ~= 0 and state.slots or {}) do
    needed = needed - slot[2]
    if needed <= 0 then
      return math.max(0, (slot[1] + SLOTS + 1) * state.window / SLOTS - now)
    end
  end
  return -1
end

local function keep(key, state, seconds)
  local counted = state.window * (SLOTS + 1) / SLOTS
  state.keeps = math.max(state.keeps, now + seconds, now + counted, now + LATE_SECONDS)
  save(key, state, state.keeps - now)
end

local function write(page, rows)
  local told = {}
  for _, row in ipairs(rows) do
    if #row > 0 then
      told[#told + 1] = row
    end
  end
  if #told == 0 then
    return
  end
  local state = load(page) or { rows = {}, dropped = 0, charged = 0 }
  for _, row in ipairs(told) do
    state.rows[#state.rows + 1] = row
  end
  while #state.rows > MOST_ROWS do
    local oldest = table.remove(state.rows, 1)
    state.charged = math.max(-LARGEST, math.min(state.charged + oldest[#oldest], LARGEST))
    state.dropped = state.dropped + 1
  end
  save(page, state, LEDGER_SECONDS)
end

-- The keys of a command on latches, a page and so many budgets.
local function keys_of(latches, number)
  local shut, budgets = {}, {}
  for index, key in ipairs(KEYS) do
    if index <= latches then
      shut[index] = key
    elseif index > latches + 1 and index <= latches + 1 + number then
      budgets[index - latches - 1] = key
    end
  end
  return shut, KEYS[latches + 1], budgets
end

