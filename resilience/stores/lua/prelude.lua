-- What stands before every script: its time, its arguments, and the states of its keys, as the Python functions see them.
--
-- One call makes many decisions of one script, which is the body of a function: it uses `now` (seconds), `KEYS`, `arguments`
-- (decoded from JSON; a null is `cjson.null`), load(key) -> table or nil, save(key, state or nil, seconds), and ends with
-- `return reply({numbers})`. To read the text, the time and the functions takes longer than to decide.

-- For each decision how many of the keys are its own, its arguments, and perhaps a time.
local DECISIONS, ALL_KEYS = cjson.decode(ARGV[1]), KEYS
-- The server's clock, so that the clocks of the clients do not matter; a test may give another one.
local TIME = redis.call('TIME')
local SERVER_TIME = TIME[1] + TIME[2] / 1000000

local KEYS, arguments, now, given
-- A record is four values of MessagePack, which keeps every number exactly: when it was saved, by how much the clock of
-- its states is ahead of the server's, until when it counts, and the state.
local records, ahead
-- The records as texts, `false` where there is none, and for how many milliseconds those are to be kept that have changed.
-- Decisions that share a key read it once and write it once: to call the server takes as long as to decide.
local texts, changed = {}, {}
-- What stood in both before the decision in hand: one that fails halfway has changed nothing.
local were

local function read(key)
  if texts[key] == nil then
    texts[key] = redis.call('GET', key)
  end
  return texts[key]
end

local function change(key, text, milliseconds)
  were[key] = were[key] or { texts[key], changed[key] }
  texts[key], changed[key] = text, milliseconds
end

local function write(key, milliseconds)
  local record = records[key]
  change(key, cmsgpack.pack(now, ahead, record[1], record[2]), milliseconds)
end

local function put_back()
  for key, both in pairs(were) do
    texts[key], changed[key] = both[1], both[2]
  end
end

local function write_all()
  for key, milliseconds in pairs(changed) do
    if texts[key] then
      redis.call('SET', key, texts[key], 'PX', string.format('%.0f', milliseconds))
    else
      redis.call('DEL', key)
    end
  end
end

local function begin(position, decision)
  KEYS, arguments, given = {}, decision[2], decision[3]
  local wall = given or SERVER_TIME
  local latest, is_set_back = wall, false
  records, ahead, were = {}, 0, {}
  for number = 1, decision[1] do
    local key = ALL_KEYS[position + number]
    KEYS[number] = key
    local found = read(key)
    if found then
      local saved, before, expires, state = cmsgpack.unpack(found)
      if type(state) ~= 'table' then
        error('the value of ' .. key .. ' is not of this library')
      end
      records[key] = { expires, state }
      -- A server's clock that is set back goes on from where it was: the states hold times, which must not come again.
      is_set_back = is_set_back or saved > wall + before
      ahead, latest = math.max(ahead, before, saved - wall), math.max(latest, saved)
    end
  end
  now = math.max(wall + ahead, latest)
  if is_set_back then
    -- Remembered at once: a script that refuses saves nothing, and time would stand still until one does.
    for key in pairs(records) do
      write(key, changed[key] or math.max(redis.call('PTTL', key), 1))
    end
  end
end

local function load(key)
  local record = records[key]
  if record and record[1] > now then
    return record[2]
  end
  return nil
end

local function save(key, state, seconds)
  if state == nil then
    records[key] = nil
    change(key, false, 0)
    return
  end
  records[key] = { now + seconds, state }
  -- Ten years are for ever. A time that a test gives runs as the test likes, and the server's must not come before it.
  write(key, math.ceil(math.min(math.max(seconds, 0), 315360000) * 1000) + (given and 3600000 or 1000))
end

-- Redis would cut numbers down to integers, and a text of 17 digits takes longer to write than a short decision to make: as
-- doubles they are exact. The store's time comes first.
local function reply(numbers)
  return struct.pack('<' .. string.rep('d', #numbers + 1), now, unpack(numbers))
end

