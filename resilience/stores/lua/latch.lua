-- What the scripts of latches and of credits share: twins of the helpers in resilience/_latch_state.py.

local KEPT_SECONDS, SLOWEST_LOOK = 35 * 86400, 3600

local function ends_of(state)
  return state['until'] ~= 0 and state['until'] or state.look_at
end

local function ask(keys, call)
  local found = { 1, -1, 0 }
  for index, key in ipairs(keys) do
    local state = load(key)
    if state ~= nil then
      local ends = ends_of(state)
      if state['until'] ~= 0 or (state.probe ~= call and now < ends) then
        if found[1] ~= 0 or ends - now > found[3] then
          found = { 0, index - 1, ends - now }
        end
      elseif found[1] ~= 0 then
        found = { 2, index - 1, 0 }
      end
    end
  end
  return found
end

local function look(keys, call)
  for _, key in ipairs(keys) do
    local state = load(key)
    if state ~= nil then
      state.look_at, state.probe = now + state.look_every, call
      save(key, state, KEPT_SECONDS)
    end
  end
end

local function answer(keys, call, word)
  for _, key in ipairs(keys) do
    local state = load(key)
    if state ~= nil and state.probe == call then
      if word > 0 then
        save(key, nil, 0)
      else
        state.probe = ''
        if word < 0 then
          state.look_at = now
        end
        save(key, state, KEPT_SECONDS)
      end
    end
  end
end

