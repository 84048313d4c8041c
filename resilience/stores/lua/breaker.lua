-- What the scripts of breakers share: twins of resilience/_breaker_machine.py.

local CLOSED, OPEN, HALF_OPEN, ISOLATED = 0, 1, 2, 3
local REFUSED, ADMITTED, PROBE = 0, 1, 2
local SUCCESS, FAILURE = 1, 2
local IDLE, FOR_EVER, BUCKETS = 3600, 10 * 366 * 86400, 10

local function enter(state, new)
  state.state, state.since = new, now
  state.generation = state.generation + 1
  state.issued, state.passed, state.failed = 0, 0, 0
  state.leased, state.due = {}, {}
  if new == CLOSED then
    state.failures, state.length = 0, 0
    state.ok, state.bad = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }, { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
  end
end

local function place_of(state, generation, probe)
  if state.generation ~= generation then
    return nil
  end
  for place, leased in ipairs(state.leased) do
    if leased == probe then
      return state.due[place] > now and place or nil
    end
  end
  return nil
end

local function drop_expired(state)
  local leased, due = {}, {}
  for place, ends in ipairs(state.due) do
    if ends > now then
      leased[#leased + 1] = state.leased[place]
      due[#due + 1] = ends
    end
  end
  state.leased, state.due = leased, due
end

local function fresh()
  return {
    state = CLOSED, generation = 0, since = now, ends = now,
    failures = 0, ok = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }, bad = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 },
    slot = -9007199254740992, width = 1, length = 0,
    issued = 0, leased = {}, due = {}, passed = 0, failed = 0,
  }
end

local function sum(numbers)
  local total = 0
  for _, number in ipairs(numbers) do
    total = total + number
  end
  return total
end

local function count(state, window, result)
  local slot = math.floor(now * BUCKETS / window)
  if slot > state.slot then
    for age = 0, math.min(slot - state.slot, BUCKETS) - 1 do
      local place = (slot - age) % BUCKETS + 1
      state.ok[place], state.bad[place] = 0, 0
    end
    state.slot, state.width = slot, window / BUCKETS
  end
  local place = state.slot % BUCKETS + 1
  if result == SUCCESS then
    state.failures = 0
    state.ok[place] = state.ok[place] + 1
  else
    state.failures = state.failures + 1
    state.bad[place] = state.bad[place] + 1
  end
end

local function is_too_much(state, settings)
  if 0 < settings[1] and settings[1] <= state.failures then
    return true
  end
  local bad = sum(state.bad)
  local calls = bad + sum(state.ok)
  return settings[2] > 0 and calls >= settings[4] and bad / calls >= settings[2]
end

local function trip(state, settings, retry_after, chance)
  state.length = state.length > 0 and math.min(state.length * settings[6], settings[7]) or settings[5]
  local asked = retry_after > 0 and math.min(retry_after, settings[8]) or 0
  enter(state, OPEN)
  state.ends = now + math.max(state.length, asked) * (1 + settings[9] * chance)
end

