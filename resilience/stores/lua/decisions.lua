-- What stands behind every script: its decisions, one after the other. What goes wrong with one is its own answer.

local function attempt(position, decision)
  begin(position, decision)
  return decide()
end

local answers, position = {}, 0
for index, decision in ipairs(DECISIONS) do
  if #DECISIONS == 1 then
    return { attempt(position, decision) }
  end
  local is_made, answer = pcall(attempt, position, decision)
  if not is_made then
    local words = type(answer) == 'table' and answer.err or tostring(answer)
    -- Of a server that has become a replica all must hear: whoever follows its master then looks for the new one.
    local of_all = string.match(words, 'READONLY.*')
    if of_all then
      return { err = of_all }
    end
    answer = { err = string.match(words, '^%u+ ') and words or 'ERR ' .. words }
  end
  answers[index] = answer
  position = position + decision[1]
end
return answers
