-- One batch of a gateway process: what was used, what it holds, what it asks for. All within one call, so nobody else
-- sees it half done. Times are microseconds of this server's clock.
--
-- KEYS[1]  processes that live, scored by when they were heard
-- KEYS[2]  this process: epoch of its newest connection, and number of the last batch whose dues were booked
-- KEYS[n]  counters, hashes:
--   rate   u: sum; h, t: numbers of the oldest and the newest part; <number>: "first last amount"
--   slots  p:<process>: "amount until"
--   money  u: spent; p:<process>: "amount until"
--
-- ARGV[1]  {process, epoch, number, now or 0, lease, dues, holds, seeds, asks}
--   dues   {{key, kind, at, amount, width}}  rate: given back (below 0: used beyond), money: spent
--   holds  {{key, amount}}                   what this process holds of slots or money, in all
--   seeds  {{key, amount, is_first, life}}   money spent
--   asks   {{{key, kind, ceiling, width, amount, life}}}
--
-- Answer: {0} to a connection that has been replaced, else {1, now, processes, {answer}}:
--   {1, remaining...}, or {0, index, remaining, wait or -1}, or {2, index}: the money spent must be told first;
--   to one that asks for nothing of some money {3, spent, held}
--
-- A connection that was given up may still be read from: what it says after a newer one has spoken is not done. A batch
-- whose answer was lost is sent again with its number: its dues are booked once.

local call, unpack = redis.call, unpack or table.unpack
local process, epoch, number, now, lease, dues, holds, seeds, asks = unpack(cmsgpack.unpack(ARGV[1]))
if now == 0 then
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end

local function whole(value)
  return string.format('%.0f', value)
end

local known = call('HMGET', KEYS[2], 'epoch', 'number')
if epoch < tonumber(known[1] or 0) then
  return cmsgpack.pack({0})
end
call('HSET', KEYS[2], 'epoch', whole(epoch), 'number', whole(math.max(number, tonumber(known[2] or 0))))
call('PEXPIRE', KEYS[2], 86400000)
call('ZADD', KEYS[1], whole(now), process)
call('ZREMRANGEBYSCORE', KEYS[1], '-inf', whole(now - lease))
call('PEXPIRE', KEYS[1], 86400000)
local mine = 'p:' .. process

-- Rates: see access/limits.py, which does the same.
local function part(key, index)
  local first, last, amount = string.match(call('HGET', key, whole(index)), '(%d+) (%d+) (%d+)')
  return tonumber(first), tonumber(last), tonumber(amount)
end

local function window(key, width)
  local read = call('HMGET', key, 'u', 'h', 't')
  local found = {used = tonumber(read[1] or 0), head = tonumber(read[2] or 1), tail = tonumber(read[3] or 0)}
  while found.head <= found.tail do
    local _, last, amount = part(key, found.head)
    if now < last + width then break end
    call('HDEL', key, whole(found.head))
    found.used, found.head = found.used - amount, found.head + 1
    call('HSET', key, 'u', whole(found.used), 'h', whole(found.head))
  end
  return found
end

local function keep(key, found, width)
  call('HSET', key, 'u', whole(found.used), 'h', whole(found.head), 't', whole(found.tail))
  call('PEXPIRE', key, whole(math.ceil(width / 1000) + 1000))
end

local function let_through(key, found, width, amount, ceiling)
  local first, last, sum = nil, nil, nil
  if found.head <= found.tail then first, last, sum = part(key, found.tail) end
  local is_full = ceiling and sum and sum * 256 >= ceiling and found.tail - found.head < 255
  if first and now < first + width / 128 and not is_full then
    last, sum = math.max(last, now), sum + amount
  else
    found.tail = found.tail + 1
    first, last, sum = now, now, amount
  end
  call('HSET', key, whole(found.tail), whole(first) .. ' ' .. whole(last) .. ' ' .. whole(sum))
  found.used = found.used + amount
end

local function give_back(key, found, at, amount)
  for index = found.tail, found.head, -1 do
    local first, last, sum = part(key, index)
    if first <= at then
      local back = math.min(amount, sum)
      call('HSET', key, whole(index), whole(first) .. ' ' .. whole(last) .. ' ' .. whole(sum - back))
      found.used, amount = found.used - back, amount - back
      if amount == 0 then return end
    end
  end
end

local function wait(key, found, width, missing)
  for index = found.head, found.tail do
    local _, last, amount = part(key, index)
    missing = missing - amount
    if missing <= 0 then return last + width - now end
  end
  return -1
end

-- Slots and money: what all processes hold, without those that have not been heard for a lease.
local function pool(key)
  local read, found = call('HGETALL', key), {used = 0, held = 0, mine = 0}
  for index = 1, #read, 2 do
    local field, value = read[index], read[index + 1]
    if field == 'u' then
      found.used, found.is_told = tonumber(value), true
    else
      local amount, till = string.match(value, '(%d+) (%d+)')
      if tonumber(till) <= now then
        call('HDEL', key, field)
      else
        found.held = found.held + tonumber(amount)
        if field == mine then found.mine = tonumber(amount) end
      end
    end
  end
  return found
end

local function hold(key, amount)
  if amount > 0 then
    call('HSET', key, mine, whole(amount) .. ' ' .. whole(now + lease))
    if call('PTTL', key) * 1000 < lease then call('PEXPIRE', key, whole(math.ceil(lease / 1000))) end
  else
    call('HDEL', key, mine)
  end
end

if number > tonumber(known[2] or 0) then
  for _, due in ipairs(dues) do
    local key, kind, at, amount, width = KEYS[due[1]], due[2], due[3], due[4], due[5]
    if kind == 'rate' then
      local found = window(key, width)
      if amount > 0 then give_back(key, found, at, amount) else let_through(key, found, width, -amount) end
      keep(key, found, width)
    elseif call('HEXISTS', key, 'u') == 1 then
      -- Where nobody has counted, the ledger will tell of this too.
      call('HINCRBY', key, 'u', whole(amount))
    end
  end
end
for _, held in ipairs(holds) do hold(KEYS[held[1]], held[2]) end
for _, seed in ipairs(seeds) do
  local key = KEYS[seed[1]]
  if not (seed[3] and call('HEXISTS', key, 'u') == 1) then call('HSET', key, 'u', whole(seed[2])) end
  call('PEXPIRE', key, whole(seed[4]))
end

local function answer(charges)
  local counters = {}
  for index, charge in ipairs(charges) do
    local key, kind, ceiling, width, amount = KEYS[charge[1]], charge[2], charge[3], charge[4], charge[5]
    local found, room
    if kind == 'rate' then
      found = window(key, width)
      room = ceiling - found.used
      if amount > room then return {0, index - 1, room, wait(key, found, width, amount - room)} end
    else
      found = pool(key)
      if kind == 'money' and not found.is_told then return {2, index - 1} end
      if amount == 0 then return {3, found.used, found.held} end
      room = ceiling - found.used - found.held
      if amount > room then return {0, index - 1, room, -1} end
    end
    found.room = room - amount
    counters[index] = found
  end
  local answered = {1}
  for index, charge in ipairs(charges) do
    local key, kind, ceiling, width, amount = KEYS[charge[1]], unpack(charge, 2, 5)
    local found = counters[index]
    if kind == 'rate' then
      let_through(key, found, width, amount, ceiling)
      keep(key, found, width)
    else
      hold(key, found.mine + amount)
      if kind == 'money' then call('PEXPIRE', key, whole(charge[6])) end
    end
    answered[index + 1] = found.room
  end
  return answered
end

local answers = {}
for index, charges in ipairs(asks) do answers[index] = answer(charges) end
return cmsgpack.pack({1, now, call('ZCARD', KEYS[1]), answers})
