-- What stands behind every script: its decisions, one after the other. What goes wrong with one is its own answer; what
-- cannot be written is the error of all.

local function attempt(position, decision)
  begin(position, decision)
  return decide()
end

local answers, position = {}, 0
for index, decision in ipairs(DECISIONS) do
  local is_made, answer = true, nil
  if #DECISIONS == 1 then
    answer = attempt(position, decision)
  else
    is_made, answer = pcall(attempt, position, decision)
  end
  if not is_made then
    put_back()
    local words = type(answer) == 'table' and answer.err or tostring(answer)
    answer = { err = string.match(words, '^%u+ ') and words or 'ERR ' .. words }
  end
  answers[index] = answer
  position = position + decision[1]
end
write_all()
return answers
