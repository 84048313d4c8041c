-- States for people to look at, one JSON text for each key, numbers with every digit; an empty list looks like {}.

-- cjson would round to 14 digits, which are too few for an amount.
local function text(value)
  if type(value) == 'number' then
    assert(value - value == 0, 'no number of JSON')
    return string.format('%.17g', value)
  elseif type(value) ~= 'table' then
    return cjson.encode(value)
  end
  local parts = {}
  if #value > 0 then
    for index, each in ipairs(value) do
      parts[index] = text(each)
    end
    return '[' .. table.concat(parts, ',') .. ']'
  end
  for key, each in pairs(value) do
    parts[#parts + 1] = cjson.encode(tostring(key)) .. ':' .. text(each)
  end
  return '{' .. table.concat(parts, ',') .. '}'
end

local texts = {}
for index, key in ipairs(KEYS) do
  local is_text, packed = pcall(redis.call, 'GET', key)
  local is_ours, found = pcall(function()
    local _, _, _, state = cmsgpack.unpack(is_text and packed)
    return type(state) == 'table' and text(state)
  end)
  if is_text and not packed then
    -- What has expired meanwhile is nothing.
    texts[index] = ''
  else
    -- What was never ours holds nothing, as in a file: people are to see that something stands there.
    texts[index] = is_ours and found or '{}'
  end
end
return texts
