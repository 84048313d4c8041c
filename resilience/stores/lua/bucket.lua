-- What the scripts of buckets share: twins of resilience/_levels.py, _windows.py and _bucket_state.py, in their order.

local TOLERANCE = 0.000001
local LATE = 5
local LONGEST = 366 * 86400
local MOST_HOLES = 64
local KEPT_FOR = 5
local COARSE = 1
local RESUMED_EVERY, RESUMED_FOR = 0.05, 10
local PARTS, FAR = 512, 64
local COMMON = { 'paused_until', 'shift', 'left', 'left_since', 'left_until' }
local NEVER = -math.huge
local max, min, floor, ceil = math.max, math.min, math.floor, math.ceil

local function spec_of(values)
  local algorithm, amount, seconds, burst, cost = values[1], values[2], values[3], values[4], values[5]
  if algorithm == 'unrated' then
    return { algorithm = algorithm, amount = 0, seconds = 0, burst = 0, cost = cost, interval = RESUMED_EVERY }
  end
  local most = algorithm == 'token_bucket' and burst or amount
  return { algorithm = algorithm, amount = amount, seconds = seconds, burst = most, cost = min(cost, most),
           interval = seconds / amount }
end

local function with_cost(spec, cost)
  return { algorithm = spec.algorithm, amount = spec.amount, seconds = spec.seconds, burst = spec.burst, cost = cost,
           interval = spec.interval }
end

local function note_reserved(state, slot, now)
  if slot > now then
    state.reserved = max(slot, state.reserved or slot)
  end
end

local function is_reserved(state, now)
  return (state.reserved or NEVER) > now - LATE
end

-- The algorithms: each is a function that makes its level when it is first asked for, since to make all of them would take
-- longer than what is decided with one.

-- TokenBucket

local function token_bucket()
  local TokenBucket = {}

  function TokenBucket:earliest(state, at, held, spec)
    local full = self:ends(state, spec)
    if held then
      full = max(full, held + (spec.burst - 1) * spec.seconds / spec.amount)
    end
    return max(at, full - (spec.burst - spec.cost) * spec.seconds / spec.amount)
  end

  function TokenBucket:charge(state, slot, now, spec)
    note_reserved(state, slot, now)
    if self:ends(state, spec) <= slot - TOLERANCE then
      state.base, state.n = slot, 0
    end
    state.n = state.n + spec.cost
    state.last = slot
  end

  function TokenBucket:undo(state, slot, now, spec, at_once)
    local latest = self:ends(state, spec) - spec.burst * spec.seconds / spec.amount
    if at_once then
      latest = state.last or NEVER
    end
    local cost = spec.cost - max(0, latest - slot) * spec.amount / spec.seconds
    if latest < slot - TOLERANCE or (not at_once and latest > slot + TOLERANCE) then
      return false
    end
    if cost <= TOLERANCE or (state.n or 0) < cost - TOLERANCE then
      return false
    end
    state.n = state.n - (at_once and cost or spec.cost)
    return true
  end

  function TokenBucket:move(state, seconds, now, spec)
    if is_reserved(state, now) then
      state.base = state.base + seconds
      state.reserved = state.reserved + seconds
      state.last = nil
    end
  end

  function TokenBucket:hold(state, till, spec)
    local full = till + (spec.burst - 1) * spec.seconds / spec.amount
    if self:ends(state, spec) < full then
      state.base, state.n, state.last = full, 0, nil
    end
  end

  function TokenBucket:free(state, now, spec)
    return spec.burst - max(0, self:ends(state, spec) - now) * spec.amount / spec.seconds
  end

  function TokenBucket:ends(state, spec)
    if not state.base then
      return NEVER
    end
    return state.base + state.n * spec.seconds / spec.amount
  end

  return TokenBucket
end

-- Paced

local function paced()
  local Paced = {}

  function Paced:earliest(state, at, held, spec)
    at = max(at, state.next or at)
    return held and max(at, held) or at
  end

  function Paced:charge(state, slot, now, spec)
    note_reserved(state, slot, now)
    local since = state.since
    if since and slot < since + self:span(spec) then
      state.next = slot + self:gap(slot - since, spec)
    end
  end

  function Paced:undo(state, slot, now, spec, at_once)
    if not state.next or math.abs(slot + self:gap(slot - state.since, spec) - state.next) > TOLERANCE then
      return at_once and not state.next
    end
    state.next = slot
    return true
  end

  function Paced:move(state, seconds, now, spec)
    if is_reserved(state, now) then
      state.reserved = state.reserved + seconds
      if state.next then
        state.next = state.next + seconds
      end
    end
  end

  function Paced:hold(state, till, spec)
    state.next = max(till, state.next or till)
    state.since = till
  end

  function Paced:ends(state, spec)
    return state.next and max(state.next, state.since + self:span(spec)) or NEVER
  end

  function Paced:gap(after, spec)
    return spec.cost * spec.seconds / spec.amount
  end

  function Paced:span(spec)
    return spec.seconds
  end

  return Paced
end

-- Unrated

local function unrated()
  local Paced = paced()
  local Unrated = setmetatable({}, { __index = Paced })

  function Unrated:gap(after, spec)
    return RESUMED_EVERY * 0.5 ^ max(0, floor(after + TOLERANCE))
  end

  function Unrated:free(state, now, spec)
    if not state.next then
      return math.huge
    end
    local waiting, slot = 0, state.since
    local till = min(state.next - TOLERANCE, slot + RESUMED_FOR)
    while slot < till do
      waiting = waiting + (slot > now + TOLERANCE and 1 or 0)
      slot = slot + self:gap(slot - state.since, spec)
    end
    return waiting > 0 and -waiting or math.huge
  end

  function Unrated:span(spec)
    return RESUMED_FOR
  end

  return Unrated
end

-- Windows

local function window_of(state, at, spec)
  return floor((at - state.start + TOLERANCE) / spec.seconds)
end

local function move_start(Paced)
  return function(level, state, seconds, now, spec)
    if state.start and (level:free(state, now, spec) < 0 or (state.next or now) > now) then
      state.start = state.start + seconds
    end
    Paced.move(level, state, seconds, now, spec)
  end
end

-- FixedWindow

local function fixed_window()
  local Paced = paced()
  local FixedWindow = setmetatable({ move = move_start(Paced) }, { __index = Paced })

  local function fitting(state, spec)
    local used = state.used
    local rest = -used % spec.amount
    if rest == 0 or spec.cost <= rest then
      return used
    end
    return used + rest
  end

  function FixedWindow:earliest(state, at, held, spec)
    at = Paced.earliest(self, state, at, held, spec)
    if not state.start or window_of(state, at, spec) >= ceil(state.used / spec.amount) then
      return at
    end
    return max(at, state.start + floor(fitting(state, spec) / spec.amount) * spec.seconds)
  end

  function FixedWindow:charge(state, slot, now, spec)
    Paced.charge(self, state, slot, now, spec)
    if not state.start or (slot <= now and window_of(state, slot, spec) >= ceil(state.used / spec.amount)) then
      state.start, state.used = slot, 0
    end
    local passed = window_of(state, slot, spec) * spec.amount
    state.used = max(fitting(state, spec), passed) + spec.cost
  end

  function FixedWindow:undo(state, slot, now, spec, at_once)
    if not state.start or state.used < spec.cost then
      return false
    end
    if window_of(state, slot, spec) ~= ceil(state.used / spec.amount) - 1 then
      return false
    end
    state.used = state.used - spec.cost
    Paced.undo(self, state, slot, now, spec, at_once)
    return true
  end

  function FixedWindow:free(state, now, spec)
    local window = state.start and window_of(state, now, spec) or 0
    if not state.start or window >= ceil(state.used / spec.amount) then
      return spec.amount
    end
    return (max(window, -1) + 1) * spec.amount - state.used
  end

  function FixedWindow:ends(state, spec)
    if not state.start then
      return Paced.ends(self, state, spec)
    end
    return max(state.start + ceil(state.used / spec.amount) * spec.seconds, Paced.ends(self, state, spec))
  end

  return FixedWindow
end

-- MovingWindow

local function moving_window()
  local Paced = paced()
  local MovingWindow = setmetatable({}, { __index = Paced })

  local function part_of(time, spec)
    return spec.amount <= PARTS and time or floor(time * PARTS / spec.seconds)
  end

  function MovingWindow:earliest(state, at, held, spec)
    at = Paced.earliest(self, state, at, held, spec)
    local times = state.times or {}
    if #times == 0 then
      return at
    end
    at = max(at, times[#times - 1])
    local room = spec.amount - spec.cost
    local index = #times + 1
    while index > 1 and room >= -TOLERANCE do
      index = index - 2
      room = room - times[index + 1]
    end
    return room >= -TOLERANCE and at or max(at, times[index] + spec.seconds)
  end

  function MovingWindow:charge(state, slot, now, spec)
    Paced.charge(self, state, slot, now, spec)
    local times = {}
    for index = 1, #(state.times or {}), 2 do
      if #times > 0 or state.times[index] + spec.seconds > now + TOLERANCE then
        times[#times + 1] = state.times[index]
        times[#times + 1] = state.times[index + 1]
      end
    end
    if #times > 0 and part_of(times[#times - 1], spec) >= part_of(slot, spec) then
      times[#times - 1], times[#times] = slot, times[#times] + spec.cost
    else
      times[#times + 1] = slot
      times[#times + 1] = spec.cost
    end
    state.times = times
  end

  function MovingWindow:undo(state, slot, now, spec, at_once)
    local times = state.times or {}
    if #times == 0 or (slot > now + TOLERANCE and slot < times[#times - 1] - TOLERANCE) then
      return false
    end
    local together = spec.amount <= PARTS and 0 or spec.seconds / PARTS
    for index = 1, #times, 2 do
      if times[index] >= slot - TOLERANCE then
        if times[index] > slot + together + TOLERANCE or times[index + 1] < spec.cost then
          return false
        end
        times[index + 1] = times[index + 1] - spec.cost
        if times[index + 1] == 0 then
          table.remove(times, index)
          table.remove(times, index)
        end
        Paced.undo(self, state, slot, now, spec, at_once)
        return true
      end
    end
    return false
  end

  function MovingWindow:move(state, seconds, now, spec)
    Paced.move(self, state, seconds, now, spec)
    local times = state.times or {}
    for index = 1, #times, 2 do
      if times[index] > now then
        times[index] = times[index] + seconds
      end
    end
  end

  function MovingWindow:free(state, now, spec)
    local times = state.times or {}
    local past, waiting = 0, 0
    for index = 1, #times, 2 do
      if times[index] > now + TOLERANCE then
        waiting = waiting + times[index + 1]
      elseif times[index] + spec.seconds > now + TOLERANCE then
        past = past + times[index + 1]
      end
    end
    return waiting > 0 and -waiting or spec.amount - past
  end

  function MovingWindow:ends(state, spec)
    local times = state.times or {}
    return max(#times > 0 and times[#times - 1] + spec.seconds or NEVER, Paced.ends(self, state, spec))
  end

  return MovingWindow
end

-- SlidingWindowCounter: windows count from 0, so the count of window w is counts[w + 1].

local function sliding_window_counter()
  local Paced = paced()
  local SlidingWindowCounter = setmetatable({ move = move_start(Paced) }, { __index = Paced })

  local function last_window(state)
    for index = #state.counts, 1, -1 do
      if state.counts[index] ~= 0 then
        return index - 1
      end
    end
    return 0
  end

  local function due(state, window, room, spec)
    local begin = state.start + window * spec.seconds
    local before = window > 0 and state.counts[window] or 0
    if before < room + 1 then
      return begin
    end
    return begin + spec.seconds * (1 - (room + 1) / before) + TOLERANCE
  end

  function SlidingWindowCounter:earliest(state, at, held, spec)
    at = Paced.earliest(self, state, at, held, spec)
    if not state.start then
      return at
    end
    local window = max(window_of(state, at, spec), last_window(state))
    local count = state.counts[window + 1] or 0
    if count + spec.cost > spec.amount then
      window, count = window + 1, 0
    end
    return max(at, due(state, window, spec.amount - spec.cost - count, spec))
  end

  function SlidingWindowCounter:charge(state, slot, now, spec)
    Paced.charge(self, state, slot, now, spec)
    if not state.start then
      state.start = (floor(now / spec.seconds) - 1) * spec.seconds
      state.counts = { 0, 0 }
    end
    local passed = max(0, window_of(state, now, spec) - 1)
    local counts = {}
    for index = passed + 1, #state.counts do
      counts[#counts + 1] = state.counts[index]
    end
    state.start = state.start + passed * spec.seconds
    local window = window_of(state, slot, spec)
    if window > #counts + FAR then
      state.start = state.start + (window - 1) * spec.seconds
      counts = { 0, 0 }
      window = 1
    end
    for index = #counts + 1, window + 1 do
      counts[index] = 0
    end
    counts[window + 1] = counts[window + 1] + spec.cost
    state.counts = counts
  end

  function SlidingWindowCounter:undo(state, slot, now, spec, at_once)
    if not state.start then
      return false
    end
    local counts = state.counts
    local window = window_of(state, slot, spec)
    if window < 0 or (counts[window + 1] or NEVER) < spec.cost then
      return false
    end
    local alike
    if at_once then
      alike = self:free(state, now, spec) >= 0
    else
      local tail = due(state, window, spec.amount - counts[window + 1], spec)
      alike = window == last_window(state) and math.abs(slot - tail) <= TOLERANCE
    end
    if alike then
      counts[window + 1] = counts[window + 1] - spec.cost
      Paced.undo(self, state, slot, now, spec, at_once)
    end
    return alike
  end

  function SlidingWindowCounter:free(state, now, spec)
    if not state.start then
      return spec.amount
    end
    local counts = state.counts
    local window = window_of(state, now, spec)
    local before = window > 0 and counts[window] or 0
    local left = 1 - (now - state.start - window * spec.seconds) / spec.seconds
    local after = 0
    for index = max(window, 0) + 1, #counts do
      after = after + counts[index]
    end
    return spec.amount - floor(before * left) - after
  end

  function SlidingWindowCounter:ends(state, spec)
    if not state.start then
      return Paced.ends(self, state, spec)
    end
    return max(state.start + (last_window(state) + 2) * spec.seconds, Paced.ends(self, state, spec))
  end

  return SlidingWindowCounter
end

-- What all have in common

local MAKERS = {
  token_bucket = token_bucket,
  fixed_window = fixed_window,
  moving_window = moving_window,
  sliding_window_counter = sliding_window_counter,
  unrated = unrated,
}
local LEVELS = setmetatable({}, {
  __index = function(levels, name)
    local level = MAKERS[name]()
    levels[name] = level
    return level
  end,
})

local function forget_word(state)
  state.left, state.left_since, state.left_until = nil, nil, nil
end

local function open_bucket(key, spec)
  local state = load(key)
  if not state then
    return {}
  end
  if state.algorithm ~= spec.algorithm then
    local common = {}
    for _, name in ipairs(COMMON) do
      common[name] = state[name]
    end
    state = common
  end
  if (state.left_until or math.huge) <= now + TOLERANCE then
    forget_word(state)
  end
  local holes, kept = state.holes, {}
  if holes then
    for index = 1, #holes, 2 do
      if holes[index] >= now - TOLERANCE then
        kept[#kept + 1] = holes[index]
        kept[#kept + 1] = holes[index + 1]
      else
        LEVELS[spec.algorithm]:undo(state, holes[index], now, with_cost(spec, holes[index + 1]), true)
      end
    end
    state.holes = kept
  end
  return state
end

local function turn_of(state, spec)
  local level = LEVELS[spec.algorithm]
  local at = max(now, state.paused_until or now)
  local slot = level:earliest(state, at, nil, spec)
  if slot - now > 2 * LONGEST + spec.interval * max(spec.amount, spec.burst) then
    for name in pairs(state) do
      state[name] = nil
    end
    return { slot = now, is_held = false }
  end
  local reset = state.left_until or NEVER
  local is_held = slot < reset and state.left < spec.cost
  if is_held then
    slot = level:earliest(state, at, reset, spec)
  end
  local hole
  local holes = state.holes or {}
  for index = 1, #holes, 2 do
    local its = holes[index]
    if its < slot and holes[index + 1] == spec.cost and not (its < reset and state.left < spec.cost) then
      slot, hole = its, index
    end
  end
  return { slot = slot, hole = hole, is_held = is_held }
end

local function take(state, spec, turn, slot)
  local level = LEVELS[spec.algorithm]
  if turn.is_held then
    level:hold(state, state.left_until, spec)
  end
  if turn.hole then
    table.remove(state.holes, turn.hole)
    table.remove(state.holes, turn.hole)
  else
    level:charge(state, slot, now, spec)
  end
  if slot < (state.left_until or slot) then
    state.left = state.left - spec.cost
  end
end

local function undo_holes(state, spec)
  local level = LEVELS[spec.algorithm]
  local holes = state.holes or {}
  local index = 1
  while index < #holes do
    if level:undo(state, holes[index], now, with_cost(spec, holes[index + 1]), false) then
      table.remove(holes, index)
      table.remove(holes, index)
      index = 1
    else
      index = index + 2
    end
  end
end

local function stop_clock(state, spec, seconds)
  local level = LEVELS[spec.algorithm]
  local paused_until = max(now, state.paused_until or now)
  if not (seconds > 0) then
    if paused_until <= now then
      level:hold(state, now + spec.interval, spec)
    end
    return
  end
  local till = now + min(seconds, LONGEST)
  local longer = till - paused_until
  if longer <= TOLERANCE then
    return
  end
  level:move(state, longer, now, spec)
  level:hold(state, till, spec)
  local holes = state.holes or {}
  for index = 1, #holes, 2 do
    holes[index] = holes[index] + longer
  end
  state.paused_until = till
  state.shift = (state.shift or 0) + longer
end

local function save_bucket(key, state, spec)
  if not next(state) then
    return
  end
  local till = max(now, LEVELS[spec.algorithm]:ends(state, spec), state.paused_until or now, state.left_until or now)
  state.algorithm, state.amount, state.seconds, state.burst = spec.algorithm, spec.amount, spec.seconds, spec.burst
  save(key, state, till - now + KEPT_FOR)
end
