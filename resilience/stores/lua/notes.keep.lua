-- Keep numbers for whoever asks. The twin of `keep` in resilience/_notes.py.

local numbers = { unpack(arguments, 2) }
save(KEYS[1], #numbers > 0 and { numbers = numbers } or nil, arguments[1])
return reply({ 1 })
