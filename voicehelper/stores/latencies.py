"""Histograms of latencies that all replicas add to: a hash for each model and minute."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from voicehelper.models.latencies import SLICES, Counts
from voicehelper.stores.redis_wire import ScriptRunner

_CALL_S: Final = 0.5
_SLICE_S: Final = 60

# KEYS: one a model. ARGV: seconds a slice, slices; then for each key the number of its buckets, each bucket with what
# is to be added. Returns for each key all buckets of the last slices with their counts, as one list.
_SCRIPT: Final = """
local seconds, slices = tonumber(ARGV[1]), tonumber(ARGV[2])
local present = math.floor(redis.call('TIME')[1] / seconds)
local at, answers = 3, {}
for k = 1, #KEYS do
  local newest = KEYS[k] .. ':' .. present
  local buckets = tonumber(ARGV[at])
  at = at + 1
  for _ = 1, buckets do
    redis.call('HINCRBY', newest, ARGV[at], ARGV[at + 1])
    at = at + 2
  end
  if buckets > 0 then redis.call('EXPIRE', newest, seconds * (slices + 1)) end
  local counts = {}
  for slice = present - slices + 1, present do
    local stored = redis.call('HGETALL', KEYS[k] .. ':' .. slice)
    for i = 1, #stored do counts[#counts + 1] = tonumber(stored[i]) end
  end
  answers[k] = counts
end
return answers
"""


class RedisLatencies:
    """`LatencyStore` on a Redis server, by its clock."""

    def __init__(self, url: str) -> None:
        """`url`: of the server; connects at first use."""
        self._runner = ScriptRunner(url, _SCRIPT, _CALL_S)

    async def add(self, counts: Counts) -> Mapping[UUID, Mapping[int, int]]:
        """See `LatencyStore`."""
        arguments: list[object] = [_SLICE_S, SLICES]
        for added in counts.values():
            arguments += [len(added), *(number for pair in added.items() for number in pair)]
        keys = [f"vh:{{latencies}}:{model_id}" for model_id in counts]
        replies = await self._runner.run(keys, arguments)
        return {model_id: _added_up(reply) for model_id, reply in zip(counts, replies, strict=True)}

    async def close(self) -> None:
        """Close the connection."""
        await self._runner.close()


def _added_up(flat: list[int]) -> Mapping[int, int]:
    total: dict[int, int] = {}
    for bucket, count in zip(flat[::2], flat[1::2], strict=True):
        total[bucket] = total.get(bucket, 0) + count
    return total
