"""Indexing against the bare embedder: chunks a second of the whole way over those of the model alone.

    python benchmarks/bench_indexing.py [--folder examples/knowledge] [--threads 1] [--rounds 2] [--workers 1]

The whole way is the real worker with isolated parsers, PostgreSQL (embedded, durable, temporary folder) and tantivy;
only HTTP and Ray are left out. The bare embedder gets the same chunks in batches of `indexing.embed_batch`. Rounds
alternate, so that other load on the machine hits both alike; the load average is printed.
"""

import argparse
import asyncio
import os
import shutil
import statistics
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from actors.embedder import build_embedder
from voicehelper.config import EmbedderSettings, IndexingSettings, Settings
from voicehelper.documents.chunking import chunk_document_async
from voicehelper.documents.isolation import IsolatedParser
from voicehelper.documents.pipeline import chunk_limits, parse_limits, prepared
from voicehelper.embedded.ports import random_port
from voicehelper.embedded.postgres import EmbeddedPostgres
from voicehelper.embedded.process import EngineError, stop
from voicehelper.ids import new_id
from voicehelper.knowledge.follower import KeywordFollower
from voicehelper.knowledge.model import ReadDocument
from voicehelper.knowledge.service import KnowledgeService
from voicehelper.knowledge.worker import IndexWorker
from voicehelper.stores.files import FileObjectStore
from voicehelper.stores.postgres.index_queue import PostgresIndexQueue, PostgresObjectTrash
from voicehelper.stores.postgres.keyword_feed import PostgresKeywordFeed
from voicehelper.stores.postgres.knowledge import PostgresKnowledge
from voicehelper.stores.postgres.migrate import migrate
from voicehelper.stores.postgres.pool import create_pool
from voicehelper.stores.postgres.wakeups import Wakeups
from voicehelper.stores.tantivy import KeywordWriter


class Reader:
    """The service's reader: an isolated parser and the embedder's own tokenizer."""

    def __init__(self, parser: IsolatedParser, embedder: Any, settings: IndexingSettings) -> None:
        self._parser, self._embedder, self._limits = parser, embedder, chunk_limits(settings)

    async def read(self, name: str, content_type: str, data: bytes) -> ReadDocument:
        parsed = await self._parser.parse(data, name, content_type)
        document = prepared(parsed, await chunk_document_async(parsed, self._embedder.count_tokens, self._limits))
        return ReadDocument(document.chunks, document.page_count)


class Rig:
    """Engines in a temporary folder and one tenant."""

    def __init__(self, home: Path, settings: Settings) -> None:
        self.settings, self.home = settings, home
        self.engine = EmbeddedPostgres(home / "postgres", random_port(), "secret", home / "postgres.log")
        self.engine.prepare()
        self.process = self.engine.start()

    async def open(self) -> None:
        while True:
            with suppress(EngineError):
                await self.engine.check()
                break
            await asyncio.sleep(0.1)
        await self.engine.ensure_database()
        await migrate(self.engine.url())
        self.pool = await create_pool(self.engine.url())
        self.wakeups = Wakeups(self.pool)
        self.tenant = new_id()
        await self.pool.execute("INSERT INTO tenants (id, name) VALUES ($1, 'bench')", self.tenant)
        self.objects = FileObjectStore(self.home / "objects")
        self.queue = PostgresIndexQueue(self.pool, self.wakeups)
        trash = PostgresObjectTrash(self.pool)
        self.service = KnowledgeService(PostgresKnowledge(self.pool), trash, self.objects, 2**30)

    async def index(self, files: list[Path], embedder: Any) -> tuple[float, int]:
        """Seconds from the first claim to the last document indexed, and chunks."""
        kb = (await self.service.create_base(self.tenant, str(new_id()))).id
        for file in files:
            await self.service.upload(self.tenant, kb, file.name, "", _stream(file.read_bytes()))
        settings = self.settings.indexing
        feed = PostgresKeywordFeed(self.pool, self.wakeups)
        follower = KeywordFollower(feed, lambda: KeywordWriter(self.home / "keyword"), "bench")
        async with IsolatedParser(parse_limits(settings), settings.workers) as parser:
            worker = IndexWorker(
                queue=self.queue,
                objects=self.objects,
                reader=Reader(parser, embedder, settings),
                embedder=embedder,
                settings=settings,
                background=[follower],
            )
            started = time.perf_counter()
            task = asyncio.create_task(worker.run())
            open_ = "SELECT count(*) FROM document_versions WHERE kb_id = $1 AND status IN ('pending', 'processing')"
            while await self.pool.fetchval(open_, kb):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            seconds = time.perf_counter() - started
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return seconds, await self.pool.fetchval("SELECT count(*) FROM chunks WHERE kb_id = $1", kb)

    async def texts(self) -> list[str]:
        rows = await self.pool.fetch("SELECT heading, text FROM chunks ORDER BY id")
        return ["\n".join([" > ".join(row["heading"]), row["text"]]) if row["heading"] else row["text"] for row in rows]


async def bare(embedder: Any, texts: list[str], batch: int) -> float:
    started = time.perf_counter()
    for start in range(0, len(texts), batch):
        await embedder.embed(texts[start : start + batch], "passage")
    return time.perf_counter() - started


async def main() -> None:
    arguments = parse()
    settings = Settings(
        embedder=EmbedderSettings(threads=arguments.threads), indexing=IndexingSettings(workers=arguments.workers)
    )
    files = sorted(path for path in arguments.folder.rglob("*") if path.is_file())[: arguments.files]
    embedder = build_embedder(settings)
    await embedder.embed(["warm up"], "passage")
    home = temporary_folder()
    rig = Rig(home, settings)
    ratios = []
    try:
        await rig.open()
        print(f"{len(files)} files, {arguments.threads} threads, {arguments.workers} workers, {os.cpu_count()} cores")
        for number in range(arguments.rounds):
            seconds, chunks = await rig.index(files, embedder)
            texts = (await rig.texts())[-chunks:]
            alone = await bare(embedder, texts, settings.indexing.embed_batch)
            ratios.append(alone / seconds)
            print(
                f"round {number + 1}: {chunks} chunks, indexing {chunks / seconds:.2f}/s, bare embedder"
                f" {chunks / alone:.2f}/s, ratio {ratios[-1]:.3f}, load average {os.getloadavg()[0]:.1f}"
            )
        print(f"median ratio {statistics.median(ratios):.3f}")
        await rig.wakeups.close()
        rig.pool.terminate()
    finally:
        stop(rig.process)
        shutil.rmtree(home, ignore_errors=True)


async def _stream(data: bytes) -> Any:
    yield data


def temporary_folder() -> Path:
    """One that the account of PostgreSQL may enter."""
    folder = Path(tempfile.mkdtemp(prefix="voicehelper-bench-"))
    folder.chmod(0o755)
    return folder


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, default=Path(__file__).parents[1] / "examples" / "knowledge")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--files", type=int, default=1000)
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
