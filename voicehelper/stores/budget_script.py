"""The one script that changes what a tenant has spent and set aside. It runs whole or not at all.

Keys of a tenant, after `vh:{tenant}:budget:`; subjects as `models.budgets.subjects_of` names them:

    m:202611     hash: micro-dollars spent in a month, by subject. Without the field `@` it was not brought up to the
                 ledger yet, and nothing may count on it. `!soft|t|5000`: that limit was passed, and said so.
    reserved     hash: micro-dollars set aside, by `202611|subject`; a sum of zero has no field
    calls        hash: reservations by id
    expiry       sorted set: their ids by when they are given back (milliseconds)
    stream       entries (`e`, JSON) and notices (`n`) on their way to the table
    done         sorted set: ids settled lately, so that settling twice counts once
    tokens:...   hash: tokens of a subject by slice of five seconds

ARGV: operation, present time in milliseconds (empty: the server's), prefix of the keys, month, then the operation's:

    reserve   id, micros, tokens, life in ms, then for each of three subjects: name, hard, soft, tokens a minute
              -> {1, soft subject}, {0, subject, spent, reserved}, {2, subject, ms until there is room}, {-1} not ready
    settle    id, micros, tokens, entry, then for each of three subjects: name, hard, soft
              -> {1}, {0} it was settled before, {-1} not ready
    release   id, nothing was used -> {1} or {0} there was none
    left      for each of three subjects: name -> {1, spent, reserved, tokens of the minute, ...}
    open      staged hash, old month -> {1}, or {0} the month is open already

A limit that is not there is an empty text; subjects are counted from 1.
"""

from typing import Final

WINDOW_S: Final = 60
SLICE_S: Final = 5
DONE_S: Final = 600
"""For how long an id is remembered as settled: longer than any writer tries."""

SCRIPT: Final = f"""
local op, now, prefix, month = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local slice = math.floor(now / {SLICE_S * 1000})
local oldest = slice - {WINDOW_S // SLICE_S}
local spent, stream = prefix .. 'm:' .. month, prefix .. 'stream'
local reserved, calls, expiry = prefix .. 'reserved', prefix .. 'calls', prefix .. 'expiry'

local function add(key, field, amount)
  if amount == 0 then return end
  if redis.call('HINCRBY', key, field, string.format('%.0f', amount)) == 0 then redis.call('HDEL', key, field) end
end

local function minute(name)
  local used, first, key = 0, slice, prefix .. 'tokens:' .. name
  local found = redis.call('HGETALL', key)
  for i = 1, #found, 2 do
    local at = tonumber(found[i])
    if at < oldest then
      redis.call('HDEL', key, found[i])
    else
      used = used + tonumber(found[i + 1])
      if at < first then first = at end
    end
  end
  return used, first
end

local function release(id, actual)
  local record = redis.call('HGET', calls, id)
  if not record then return 0 end
  local part = {{}}
  for text in string.gmatch(record .. '|', '([^|]*)|') do part[#part + 1] = text end
  local amount, set_aside = tonumber(part[2]), tonumber(part[3])
  for i = 1, 3 do
    add(reserved, part[1] .. '|' .. part[4 + i], -amount)
    local key = prefix .. 'tokens:' .. part[4 + i]
    if actual and redis.call('HEXISTS', key, part[4]) == 1 then add(key, part[4], actual - set_aside) end
  end
  redis.call('HDEL', calls, id)
  redis.call('ZREM', expiry, id)
  return 1
end

local function sweep()
  local over = redis.call('ZRANGEBYSCORE', expiry, '-inf', now, 'LIMIT', 0, 1000)
  for _, id in ipairs(over) do
    if release(id, nil) == 0 then redis.call('ZREM', expiry, id) end
  end
end

local function notice(level, name, limit, amount)
  if redis.call('HSETNX', spent, '!' .. level .. '|' .. name .. '|' .. limit, 1) == 1 then
    local text = table.concat({{month, name, level, limit, string.format('%.0f', amount)}}, '|')
    redis.call('XADD', stream, '*', 'n', text)
  end
end

local function of(key, field)
  return tonumber(redis.call('HGET', key, field) or 0)
end

if op == 'release' then return {{release(ARGV[5], 0)}} end

if op == 'left' then
  sweep()
  local answer = {{1}}
  for i = 5, 7 do
    answer[#answer + 1] = of(spent, ARGV[i])
    answer[#answer + 1] = of(reserved, month .. '|' .. ARGV[i])
    answer[#answer + 1] = minute(ARGV[i])
  end
  if redis.call('HEXISTS', spent, '@') == 0 then return {{-1}} end
  return answer
end

local open = redis.call('HEXISTS', spent, '@')
if op == 'open' then
  if open == 1 then
    redis.call('DEL', ARGV[5])
    return {{0}}
  end
  redis.call('RENAME', ARGV[5], spent)
  redis.call('PERSIST', spent)
  redis.call('DEL', prefix .. 'm:' .. ARGV[6])
  return {{1}}
end
if open == 0 then return {{-1}} end

local id, amount, tokens = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])

if op == 'reserve' then
  sweep()
  local soft = 0
  for i = 1, 3 do
    local at = 5 + i * 4
    local name, hard, gentle = ARGV[at], ARGV[at + 1], ARGV[at + 2]
    if hard ~= '' or gentle ~= '' then
      local gone, held = of(spent, name), of(reserved, month .. '|' .. name)
      local wanted = gone + held + amount
      if hard ~= '' and amount > 0 and wanted > tonumber(hard) then
        notice('hard', name, hard, gone)
        return {{0, i, gone, held}}
      end
      if soft == 0 and gentle ~= '' and wanted > tonumber(gentle) then soft = i end
    end
  end
  for i = 1, 3 do
    local at = 5 + i * 4
    if ARGV[at + 3] ~= '' then
      local used, first = minute(ARGV[at])
      if used + tokens > tonumber(ARGV[at + 3]) then
        return {{2, i, math.max(1, (first + {WINDOW_S // SLICE_S + 1}) * {SLICE_S * 1000} - now)}}
      end
    end
  end
  local record = {{month, ARGV[6], ARGV[7], slice}}
  for i = 1, 3 do
    local at = 5 + i * 4
    record[4 + i] = ARGV[at]
    add(reserved, month .. '|' .. ARGV[at], amount)
    if ARGV[at + 3] ~= '' then
      local key = prefix .. 'tokens:' .. ARGV[at]
      redis.call('HINCRBY', key, slice, ARGV[7])
      redis.call('EXPIRE', key, {2 * WINDOW_S})
    end
  end
  redis.call('HSET', calls, id, table.concat(record, '|'))
  redis.call('ZADD', expiry, now + ARGV[8], id)
  return {{1, soft}}
end

local done = prefix .. 'done'
redis.call('ZREMRANGEBYSCORE', done, '-inf', now - {DONE_S * 1000})
if redis.call('ZADD', done, 'NX', now, id) == 0 then return {{0}} end
release(id, tokens)
for i = 1, 3 do
  local at = 6 + i * 3
  local name, hard, gentle = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local gone = redis.call('HINCRBY', spent, name, ARGV[6])
  if gentle ~= '' and gone >= tonumber(gentle) and amount > 0 then notice('soft', name, gentle, gone) end
  if hard ~= '' and gone >= tonumber(hard) and amount > 0 then notice('hard', name, hard, gone) end
end
redis.call('XADD', stream, '*', 'e', ARGV[8])
return {{1}}
"""
