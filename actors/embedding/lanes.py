"""Two ways through one model: queries, answered at once, and passages, in bulk."""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from actors.embedding.encoder import TextEncoder, group_by_tokens
from voicehelper.errors import Overloaded
from voicehelper.ports.embedder import Vectors
from voicehelper.telemetry import metrics


class QueryLane:
    """Embeds queries, remembers the last ones, and batches those that arrive while the model is busy.

    A thread of its own takes everything that waits, up to `max_batch`, in one call: alone a query goes at once, and
    under load batches grow by themselves. The same text asked twice at the same time is computed once.
    """

    def __init__(self, encoder: TextEncoder, max_batch: int, cache_size: int, max_waiting: int) -> None:
        self._encoder = encoder
        self._max_batch = max_batch
        self._cache_size = cache_size
        self._max_waiting = max_waiting
        self._cache: OrderedDict[str, Vectors] = OrderedDict()
        self._waiting: OrderedDict[str, Future[Vectors]] = OrderedDict()
        self._running: dict[str, Future[Vectors]] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="embed-query")

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors in the order of `texts`. A caller that leaves does not take others' vectors with it."""
        futures = [self._future(text) for text in texts]
        rows = await asyncio.gather(*(asyncio.shield(asyncio.wrap_future(future)) for future in futures))
        return np.stack(rows)

    def close(self) -> None:
        """Finish what waits, then stop."""
        self._pool.shutdown()

    def _future(self, text: str) -> "Future[Vectors]":
        with self._lock:
            if (row := self._cache.get(text)) is not None:
                self._cache.move_to_end(text)
                return _done(row)
            if pending := self._waiting.get(text) or self._running.get(text):
                return pending
            if len(self._waiting) >= self._max_waiting:
                raise Overloaded(retry_after=1.0)
            future = self._waiting[text] = Future()
        metrics.QUEUE_LENGTH.labels("embed.query").inc()
        self._pool.submit(self._drain)
        return future

    def _drain(self) -> None:
        """One call for what waits now; nothing, when an earlier call took it along."""
        with self._lock:
            count = min(self._max_batch, len(self._waiting))
            batch = dict(self._waiting.popitem(last=False) for _ in range(count))
            self._running |= batch
        if not batch:
            return
        try:
            rows = self._encoder.encode(list(batch), "query")
        except BaseException as error:
            self._settle(batch)
            for future in batch.values():
                future.set_exception(error)
            raise
        self._remember(dict(zip(batch, rows, strict=True)))
        self._settle(batch)
        for future, row in zip(batch.values(), rows, strict=True):
            future.set_result(row)

    def _settle(self, batch: "dict[str, Future[Vectors]]") -> None:
        metrics.QUEUE_LENGTH.labels("embed.query").dec(len(batch))
        with self._lock:
            for text in batch:
                del self._running[text]

    def _remember(self, rows: dict[str, Vectors]) -> None:
        with self._lock:
            for text, row in rows.items():
                self._cache[text] = row.copy()  # a view would keep its whole batch alive
            while len(self._cache) > self._cache_size:
                self._cache.popitem(last=False)


class PassageLane:
    """Embeds passages: sorted by length, in calls small enough for the core's cache, several calls in parallel."""

    def __init__(self, encoder: TextEncoder, max_batch: int, max_waiting: int) -> None:
        self._encoder = encoder
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._waiting = 0
        self._pool = ThreadPoolExecutor(encoder.parallel, thread_name_prefix="embed-passage")

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors in the order of `texts`. When the caller leaves, calls that have not begun are dropped."""
        if self._waiting and self._waiting + len(texts) > self._max_waiting:
            raise Overloaded(retry_after=5.0)
        self._wait(len(texts))
        try:
            return await self._embed(texts)
        finally:
            self._wait(-len(texts))

    def close(self) -> None:
        """Stop after the calls under way."""
        self._pool.shutdown(cancel_futures=True)

    async def _embed(self, texts: Sequence[str]) -> Vectors:
        lengths = await asyncio.wrap_future(self._pool.submit(self._encoder.count_tokens, texts))
        groups = list(group_by_tokens(lengths, self._encoder.batch_tokens, self._max_batch))
        calls = [
            asyncio.wrap_future(self._pool.submit(self._encoder.encode, [texts[index] for index in group], "passage"))
            for group in groups
        ]
        try:
            parts = await asyncio.gather(*calls)
        except BaseException:
            for call in calls:
                call.cancel()
            raise
        vectors = np.empty((len(texts), self._encoder.info.dimensions), dtype=np.float32)
        for group, part in zip(groups, parts, strict=True):
            vectors[group] = part
        return vectors

    def _wait(self, count: int) -> None:
        self._waiting += count
        metrics.QUEUE_LENGTH.labels("embed.passage").inc(count)


def _done(row: Vectors) -> "Future[Vectors]":
    future: Future[Vectors] = Future()
    future.set_result(row)
    return future
