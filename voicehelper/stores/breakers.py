"""Breakers that all replicas share: the rules of `models.breaker` in a script, which moves many models at once."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final
from uuid import UUID

from redis.exceptions import RedisError

from voicehelper.models.breaker import BUCKETS, DOUBLINGS, Phase, Rules
from voicehelper.models.breaker_events import Admit, Cool, Event, Lease, Probed, Report, View
from voicehelper.stores.redis import RedisLink
from voicehelper.stores.redis_wire import ScriptRunner

_CALL_S: Final = 0.5
_AGAIN_S: Final = 1.0
_KEPT_MS: Final = 24 * 3600 * 1000

# KEYS: one a model. ARGV: rate, calls, window, open, trials, probe failures, out, bucket width, present time (empty:
# the server's); then three for each key: what happened and two numbers. Times in milliseconds.
# Returns {phase, wait, granted, failed probes} for each key.
_SCRIPT: Final = f"""
local rate, calls = tonumber(ARGV[1]), tonumber(ARGV[2])
local open_ms, trials = tonumber(ARGV[4]), tonumber(ARGV[5])
local probe_failures, out_ms, width = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local now = tonumber(ARGV[9])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local CLOSED, OPEN, HALF = 0, 1, 2

local function open(b)
  b.phase, b.till = OPEN, now + open_ms * 2 ^ math.min(b.opened, {DOUBLINGS})
  b.opened, b.given, b.passed, b.since, b.window = b.opened + 1, 0, 0, 0, {{}}
end

local function admit(b)
  if b.phase == CLOSED then return true end
  if b.phase == OPEN then
    if now < b.till then return false end
    b.phase, b.given, b.passed, b.since = HALF, 1, 0, now
    return true
  end
  if b.given < trials then
    b.given = b.given + 1
    return true
  end
  if now - b.since < open_ms then return false end
  b.given, b.since = b.passed + 1, now
  return true
end

local function report(b, ok, failed)
  b.last = now
  if ok > 0 then b.probes = 0 end
  if b.phase == OPEN then return end
  if b.phase == HALF then
    if failed > 0 then return open(b) end
    b.passed = b.passed + ok
    if b.passed >= trials then
      b.phase, b.opened, b.given, b.passed, b.window = CLOSED, 0, 0, 0, {{}}
    end
    return
  end
  local bucket, kept, good, bad = math.floor(now / width), {{}}, 0, 0
  for _, old in ipairs(b.window) do
    if old[1] > bucket - {BUCKETS} then kept[#kept + 1] = old end
  end
  local newest = kept[#kept]
  if newest and newest[1] >= bucket then
    newest[2], newest[3] = newest[2] + ok, newest[3] + failed
  else
    kept[#kept + 1] = {{bucket, ok, failed}}
  end
  for _, one in ipairs(kept) do
    good, bad = good + one[2], bad + one[3]
  end
  b.window = kept
  if good + bad >= calls and bad > rate * (good + bad) then open(b) end
end

local function probed(b, ok)
  if b.phase == HALF or (b.phase == OPEN and now >= b.till) then
    admit(b)
    report(b, ok and 1 or 0, ok and 0 or 1)
  end
  b.last = now
  if ok then
    b.probes, b.out = 0, 0
  elseif b.probes + 1 < probe_failures then
    b.probes = b.probes + 1
  else
    b.probes, b.out = probe_failures - 1, now + out_ms
  end
end

local answers = {{}}
for k = 1, #KEYS do
  local event, x, y = ARGV[7 + 3 * k], tonumber(ARGV[8 + 3 * k]), tonumber(ARGV[9 + 3 * k])
  local stored, granted = redis.call('GET', KEYS[k]), 1
  local b = stored and cmsgpack.unpack(stored)
    or {{phase = 0, till = 0, opened = 0, given = 0, passed = 0, since = 0, cool = 0, probes = 0, out = 0, last = 0,
        window = {{}}}}
  local phase, out, cool = b.phase, b.out, b.cool
  if event == 'report' then
    report(b, x, y)
  elseif event == 'cool' then
    b.cool = math.max(b.cool, now + x)
  elseif event == 'admit' then
    granted = admit(b) and 1 or 0
  elseif event == 'probed' then
    probed(b, x == 1)
  elseif event == 'lease' then
    granted = now - b.last >= x and 1 or 0
    if granted == 1 then b.last = now end
  end
  if event ~= 'view' then
    redis.call('SET', KEYS[k], cmsgpack.pack(b), 'PX', {_KEPT_MS})
    if b.phase ~= phase or b.out ~= out or b.cool ~= cool then redis.call('PUBLISH', '{{channel}}', KEYS[k]) end
  end
  local till = math.max(b.cool, b.out, b.phase == OPEN and b.till or 0)
  answers[k] = {{b.phase, math.max(0, till - now), granted, b.probes}}
end
return answers
"""

CHANNEL: Final = "vh:breakers"


class RedisBreakers:
    """`BreakerStore` on a Redis server, by its clock."""

    def __init__(self, url: str, rules: Rules) -> None:
        """`url`: of the server; connects at first use."""
        self._runner = ScriptRunner(url, _SCRIPT.replace("{channel}", CHANNEL), _CALL_S)
        self._rules = [
            rules.rate,
            rules.calls,
            rules.window_ms,
            rules.open_ms,
            rules.trials,
            rules.probe_failures,
            rules.out_ms,
            rules.bucket_ms,
        ]

    async def move(self, events: Sequence[tuple[UUID, Event]], now_ms: int | None = None) -> list[View]:
        """See `BreakerStore`. `now_ms` replaces the server's clock."""
        if not events:
            return []
        keys = [f"vh:{{breakers}}:{model_id}" for model_id, _ in events]
        moves = [part for _, event in events for part in _words(event)]
        replies = await self._runner.run(keys, [*self._rules, "" if now_ms is None else now_ms, *moves])
        return [View(Phase(phase), wait / 1000, bool(granted), probes) for phase, wait, granted, probes in replies]

    async def close(self) -> None:
        """Close the connection."""
        await self._runner.close()


class BreakerChanges:
    """Tells of changes on the channel; those missed while the server is away are found by looking."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    async def follow(self, told: Callable[[], None]) -> None:
        """See `Changes`."""
        while True:
            with suppress(RedisError, OSError):
                async with self._link.client.pubsub() as channel:
                    await channel.subscribe(CHANNEL)
                    async for message in channel.listen():
                        if message["type"] == "message":
                            told()
            await asyncio.sleep(_AGAIN_S)


def _words(event: Event) -> tuple[object, object, object]:
    match event:
        case Report(ok, failed):
            return "report", ok, failed
        case Cool(for_ms):
            return "cool", for_ms, 0
        case Admit():
            return "admit", 0, 0
        case Probed(ok):
            return "probed", int(ok), 0
        case Lease(idle_ms):
            return "lease", idle_ms, 0
        case _:
            return "view", 0, 0
