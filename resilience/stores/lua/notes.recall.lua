-- The numbers that were kept, none if there are none. The twin of `recall` in resilience/_notes.py.

local state = load(KEYS[1])
return reply(state and state.numbers or {})
