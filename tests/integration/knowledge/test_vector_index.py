"""Building the vector index beside everything else."""

import asyncio
from typing import Any

from voicehelper.stores.postgres.vectors import ensure_vector_index


async def test_several_processes_build_one_index_without_a_deadlock(house: Any) -> None:
    await house.upload("a.txt", "text")
    claim = await house.queue.claim("somebody", 10, 3)
    assert await house.queue.store("somebody", claim, await house.embedded(*(f"line {n}" for n in range(1500))))
    await asyncio.gather(*(ensure_vector_index(house.pool, "fake", 384) for _ in range(3)))
    valid = "SELECT count(*) FROM pg_index WHERE indisvalid AND indexrelid::regclass::text LIKE 'chunks_hnsw_%'"
    assert await house.pool.fetchval(valid) == 1
