-- What the scripts of permits share: twins of the helpers in resilience/_permits.py.

local function live(key)
  local state = load(key)
  if state == nil then
    return {holders = {}, earliest = 0, latest = now, number = 0, lowerings = 0}
  end
  if state.earliest <= now then
    local holders, earliest = {}, nil
    for holder, ends in pairs(state.holders) do
      if ends > now then
        holders[holder] = ends
        earliest = math.min(earliest or ends, ends)
      end
    end
    state.holders, state.earliest = holders, earliest or 0
  end
  return state
end

local function count(holders)
  local found = 0
  for _ in pairs(holders) do
    found = found + 1
  end
  return found
end

local function most_of(state, documented)
  local allowed = documented ~= 0 and documented or math.huge
  return math.min(state.most or allowed, allowed)
end

local function hold(state, holder, lease)
  local ends = now + lease
  state.earliest = next(state.holders) and math.min(state.earliest, ends) or ends
  state.latest = math.max(state.latest, ends)
  state.holders[holder] = ends
end

local function keep(key, state)
  if next(state.holders) == nil and state.most == nil then
    save(key, nil, 0)
  else
    local learned = state.most and 3600 or 0
    save(key, state, math.max(state.latest - now, learned))
  end
end

