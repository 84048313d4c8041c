-- Shut what an answer has said to be used up, or not allowed. The twin of `shut` in resilience/_latch_state.py.

local call, seconds, every, why = unpack(arguments)
local state = load(KEYS[1])
if state ~= nil and seconds == 0 then
  if state['until'] ~= 0 or (state.probe ~= call and now < state.look_at) then
    return reply({ ends_of(state) - now })
  end
  every = math.max(every, math.min(2 * state.look_every, SLOWEST_LOOK))
end
local until_ = 0
if seconds ~= 0 then
  until_ = math.max(now + seconds, state == nil and 0 or state['until'])
end
local made = {
  ['until'] = until_,
  look_at = now + every,
  look_every = every,
  probe = '',
  why = why,
  since = state == nil and now or state.since,
}
save(KEYS[1], made, seconds ~= 0 and until_ - now or KEPT_SECONDS)
return reply({ seconds ~= 0 and until_ - now or every })
