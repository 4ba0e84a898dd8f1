"""Rate limits in Redis: all limits of one request in one round trip."""

from collections.abc import Sequence

from voicehelper.limits.model import BUCKETS, Limit, Verdict
from voicehelper.limits.window import bucket_width
from voicehelper.stores.redis_wire import ScriptRunner

_CALL_S = 0.25  # beyond it, waiting for the counters is worse than counting alone

# A counter is the number of its newest bucket (double) and the counts of BUCKETS + 1 buckets, oldest first (uint32).
# KEYS: counters. ARGV: bucket width in microseconds, present time likewise (empty: the server's), quotas.
# Returns {allowed, place from 0, remaining, microseconds until reset}, see `Verdict`; the same as `limits.local`.
_SCRIPT = f"""
local size = {BUCKETS + 1}
local format = '<d' .. string.rep('I4', size)
local width, now = tonumber(ARGV[1]), tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end

local function left(window, wanted)
  local sum = 0
  for i = 1, size do
    sum = sum + window[i + 1]
    if sum >= wanted then return window[1] + i end
  end
  return window[1] + size
end

local stored = redis.call('MGET', unpack(KEYS))
local windows, totals = {{}}, {{}}
local refusing, freed = 0, 0
for k = 1, #KEYS do
  local window, total = {{math.floor(now / width)}}, 0
  local old = stored[k] and {{struct.unpack(format, stored[k])}}
  local steps = old and window[1] - old[1] or size
  if steps < 0 then
    window[1], steps = old[1], 0
  end
  for i = 2, size + 1 do
    local count = i + steps <= size + 1 and old[i + steps] or 0
    window[i] = count
    total = total + count
  end
  windows[k], totals[k] = window, total
  local quota = tonumber(ARGV[k + 2])
  if total >= quota then
    local at = left(window, total - quota + 1)
    if at > freed then refusing, freed = k, at end
  end
end
if refusing > 0 then
  return {{0, refusing - 1, 0, math.max(0, freed * width - now)}}
end
local tightest, least = 0, math.huge
for k = 1, #KEYS do
  local window = windows[k]
  window[size + 1] = window[size + 1] + 1
  redis.call('SET', KEYS[k], struct.pack(format, unpack(window)), 'PX', math.ceil(width * size / 1000))
  local remaining = ARGV[k + 2] - totals[k] - 1
  if remaining < least then tightest, least = k, remaining end
end
return {{1, tightest - 1, least, math.max(0, left(windows[tightest], 1) * width - now)}}
"""


class RedisLimiter:
    """Counters that all replicas share, by the server's clock."""

    def __init__(self, url: str, window_s: float) -> None:
        """`url`: of the server; connects at first use."""
        self._runner = ScriptRunner(url, _SCRIPT, _CALL_S)
        self._width = bucket_width(window_s)

    async def acquire(self, limits: Sequence[Limit], now_us: int | None = None) -> Verdict:
        """See `Counters`. `now_us` replaces the server's clock. Raises `Unavailable`."""
        keys = [limit.key for limit in limits]
        now = "" if now_us is None else now_us
        answer = await self._runner.run(keys, [self._width, now, *[limit.quota for limit in limits]])
        allowed, place, remaining, reset = answer
        return Verdict(allowed == 1, place, remaining, reset / 1_000_000)

    async def close(self) -> None:
        """Close the connection."""
        await self._runner.close()
