"""Indexing against the bare embedder: chunks a second of the whole way over those of the model alone.

    python -m benchmarks.bench_indexing [--documents 36] [--threads 2] [--rounds 1] [--only inline|deployed|job]

Documents of about 3000 characters, made of CMRC's paragraphs, go three ways, on durable engines in temporary folders:

* inline: the indexer as the Serve application builds it, everything in this process but the parser and PostgreSQL, with
  one worker and with two;
* deployed: uploaded over HTTP to an installation as `voicehelper up` starts it, the embedder in a process of its own;
* job: the Ray Data job on a Ray of its own; what Ray and the actors need to start is counted apart.

The clock of the first two runs from the first upload until the last document is `indexed`. The bare embedder gets all
chunks in one call, with the same threads; its runs stand between the others, and each is compared with the one before
and the one after it.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

import psutil
from prometheus_client import REGISTRY
from pydantic import SecretStr

from actors.embedder import build_embedder
from benchmarks.instance_rig import installation, settings_of, start
from benchmarks.report import aims, at_least, table
from deployments.engines import database, objects
from deployments.nodes import EMBEDDER, INDEXER
from deployments.reader import IsolatedReader
from deployments.wiring import Nodes
from tests.prove.server import wait_until
from voicehelper.cli.client import ApiClient
from voicehelper.config import EmbedderSettings, IndexingSettings, Settings
from voicehelper.documents.isolation import IsolatedParser
from voicehelper.documents.pipeline import parse_limits
from voicehelper.embedded.ports import random_port
from voicehelper.embedded.postgres import EmbeddedPostgres
from voicehelper.embedded.process import EngineError, stop
from voicehelper.embedded.valkey import EmbeddedValkey
from voicehelper.ids import new_id
from voicehelper.knowledge.service import KnowledgeService
from voicehelper.ports.embedder import Embedder
from voicehelper.stores.postgres.index_queue import PostgresObjectTrash
from voicehelper.stores.postgres.knowledge import PostgresKnowledge
from voicehelper.stores.postgres.migrate import migrate
from voicehelper.stores.postgres.pool import create_pool
from voicehelper.telemetry import configure_logging

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "eval" / "cmrc2018_trial.json"
DOCUMENT_CHARS = 3000
STAGES = ("fetch", "read", "embed", "store")


@dataclass
class Pass:
    """One way through all documents, or the bare embedder's."""

    way: str
    chunks: int
    seconds: float
    cpu: dict[str, float] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def rate(self) -> float:
        """Chunks a second."""
        return self.chunks / self.seconds


def documents(path: Path, count: int) -> dict[str, str]:
    """Markdown by file name: paragraphs of one article after the other until a document is long enough."""
    found: dict[str, str] = {}
    text = ""
    for article in json.loads(path.read_text())["data"]:
        text += f"# {article.get('title') or '文档'}\n\n"
        for paragraph in article["paragraphs"]:
            text += paragraph["context"].strip() + "\n\n"
            if len(text) >= DOCUMENT_CHARS:
                found[f"{len(found):03}.md"] = text
                text = ""
            if len(found) == count:
                return found
    return found


@dataclass(frozen=True)
class Engines:
    """PostgreSQL and Valkey in a folder, and the settings that name them."""

    settings: Settings
    folder: Path
    processes: Mapping[str, psutil.Process]


@contextmanager
def engines(threads: int) -> Iterator[Engines]:
    """Started, migrated, with a tenant; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="vh-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL runs as another user when we are root
        postgres = EmbeddedPostgres(folder / "postgres", random_port(), "bench", folder / "postgres.log")
        valkey = EmbeddedValkey(folder / "valkey", random_port(), "bench", folder / "valkey.log")
        both: tuple[EmbeddedPostgres | EmbeddedValkey, ...] = (postgres, valkey)
        running = []
        try:
            for engine in both:
                engine.prepare()
                running.append(engine.start())
            wait_until(lambda: _answers(postgres) and _answers(valkey), 60)
            asyncio.run(_prepare(postgres))
            settings = Settings(
                home=folder / "home",
                postgres_url=SecretStr(postgres.url()),
                redis_url=SecretStr(valkey.url()),
                embedder=EmbedderSettings(threads=threads),
            )
            yield Engines(settings, folder, {"PostgreSQL": psutil.Process(running[0].pid)})
        finally:
            for process, engine in zip(running, both, strict=False):
                stop(process, sign=engine.stop_signal)


def _answers(engine: EmbeddedPostgres | EmbeddedValkey) -> bool:
    try:
        return bool(asyncio.run(engine.check()))
    except EngineError:
        return False


async def _prepare(postgres: EmbeddedPostgres) -> None:
    await postgres.ensure_database()
    await migrate(postgres.url())
    pool = await create_pool(postgres.url(), min_size=1, max_size=1)
    await pool.execute("INSERT INTO tenants (id, name) VALUES ($1, 'default') ON CONFLICT DO NOTHING", new_id())
    await pool.close()


class Inline:
    """The indexer in this process."""

    def __init__(self, engines: Engines, embedder: Embedder) -> None:
        self._engines = engines
        self._embedder = embedder

    async def index(self, files: Mapping[str, str], workers: int) -> Pass:
        """From the first upload until all are indexed, the indexer being at rest before."""
        settings = self._engines.settings.model_copy(update={"indexing": IndexingSettings(workers=workers)})
        async with self._working(settings) as nodes:
            service = KnowledgeService(
                PostgresKnowledge(await database(nodes)),
                PostgresObjectTrash(await database(nodes)),
                await objects(nodes),
                settings.http.max_upload_bytes,
            )
            tenant = await (await database(nodes)).fetchval("SELECT id FROM tenants WHERE name = 'default'")
            first = next(iter(files))
            await self._upload(nodes, service, tenant, {first: files[first][:500]})  # wakes the parser up
            before, busy, started = self._cpu(), _stage_seconds(), time.perf_counter()
            chunks = await self._upload(nodes, service, tenant, files)
            seconds = time.perf_counter() - started
            cpu = {name: spent - before.get(name, 0.0) for name, spent in self._cpu().items()}
            stages = {name: spent - busy[name] for name, spent in _stage_seconds().items()}
        return Pass(f"inline, {workers} worker{'s' if workers > 1 else ''}", chunks, seconds, cpu, stages)

    @asynccontextmanager
    async def _working(self, settings: Settings) -> AsyncIterator[Nodes]:
        async def ours() -> Embedder:
            return self._embedder

        nodes = Nodes(settings, {})
        try:
            await nodes.shared(EMBEDDER.name, ours)
            await nodes.get(INDEXER)
            yield nodes
        finally:
            await nodes.close()

    async def _upload(self, nodes: Nodes, service: KnowledgeService, tenant: UUID, files: Mapping[str, str]) -> int:
        """Upload into a base of their own and wait; returns its chunks."""
        base = (await service.create_base(tenant, str(new_id()))).id
        for name, text in files.items():
            await service.upload(tenant, base, name, "text/markdown", _once(text.encode()))
        pool = await database(nodes)
        waiting = "SELECT count(*) FROM document_versions WHERE kb_id = $1 AND status IN ('pending', 'processing')"
        while await pool.fetchval(waiting, base):
            nodes.check()
            await asyncio.sleep(0.1)
        failed = await pool.fetch("SELECT error FROM document_versions WHERE kb_id = $1 AND status = 'failed'", base)
        assert not failed, failed
        return int(await pool.fetchval("SELECT count(*) FROM chunks WHERE kb_id = $1", base))

    def _cpu(self) -> dict[str, float]:
        """CPU-seconds so far, by who spent them. The engines are this process's children too."""
        engines = {name: _tree_cpu(process) for name, process in self._engines.processes.items()}
        own = psutil.Process()
        return {
            "this process (embedder, chunker, tantivy)": _own_cpu(own),
            "parser": _tree_cpu(own) - _own_cpu(own) - sum(engines.values()),
            **engines,
        }


def _tree_cpu(process: psutil.Process) -> float:
    total = _own_cpu(process)
    for child in process.children(recursive=True):
        try:
            total += _own_cpu(child)
        except psutil.NoSuchProcess:
            continue
    return total


def _own_cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _stage_seconds() -> dict[str, float]:
    names = {name: {"stage": f"indexing.{name}"} for name in STAGES}
    return {name: REGISTRY.get_sample_value("voicehelper_stage_seconds_sum", of) or 0.0 for name, of in names.items()}


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def bare(embedder: Embedder, texts: Sequence[str]) -> Pass:
    """The model alone, all chunks in one call."""
    started, cpu = time.perf_counter(), time.process_time()
    await embedder.embed(texts, "passage")
    spent = {"this process": time.process_time() - cpu}
    return Pass("bare embedder", len(texts), time.perf_counter() - started, spent)


async def chunk_texts(files: Mapping[str, str], embedder: Embedder, settings: IndexingSettings) -> list[str]:
    """What the embedder is given for each chunk of these documents."""
    async with IsolatedParser(parse_limits(settings), 1) as parser:
        reader = IsolatedReader(parser, embedder, settings)
        read = [await reader.read(name, "text/markdown", text.encode()) for name, text in files.items()]
    return [chunk.embedding_text for document in read for chunk in document.chunks]


def deployed(files: Mapping[str, str], threads: int) -> Pass:
    """Over HTTP, on an installation whose language model is a fake (a real one would be reading its prompt)."""
    with installation() as server:
        server.environment |= {"VOICEHELPER_CHAT__BACKEND": "fake", "VOICEHELPER_EMBEDDER__THREADS": str(threads)}
        start(server, "--no-sample")
        with ApiClient.from_settings(settings_of(server)) as client:
            _post(client, dict(list(files.items())[:1]), "warm-up")
            started = time.perf_counter()
            chunks = _post(client, files, "bench")
            seconds = time.perf_counter() - started
    return Pass("deployed, 1 worker", chunks, seconds)


def _post(client: ApiClient, files: Mapping[str, str], name: str) -> int:
    base = client.create_base(name).id
    with tempfile.TemporaryDirectory() as folder:
        for path in write(files, Path(folder)):
            with path.open("rb") as file:
                client.upload(base, path.name, file, "text/markdown")
    while any(document.status in ("pending", "processing") for document in client.documents(base)):
        time.sleep(0.1)
    indexed = [document for document in client.documents(base) if document.status == "indexed"]
    assert len(indexed) == len(files)
    return next(found.chunks for found in client.bases() if found.id == base)


def write(files: Mapping[str, str], folder: Path) -> list[Path]:
    """The documents as files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return [folder / name for name in files]


def job(engines: Engines, files: Mapping[str, str], threads: int) -> Pass:
    """The Ray Data job, by the clock of its own report."""
    settings, folder = engines.settings, engines.folder
    write(files, folder / "input")
    report = folder / "report.json"
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | {
        "VOICEHELPER_HOME": str(settings.home),
        "VOICEHELPER_POSTGRES_URL": settings.postgres_dsn(),
        "VOICEHELPER_REDIS_URL": settings.redis_dsn(),
        "VOICEHELPER_EMBEDDER__THREADS": str(threads),
        "RAY_TMPDIR": str(folder),
    }
    words = ["--local", "--input", str(folder / "input"), "--kb", "job", "--report", str(report)]
    command = [sys.executable, "-m", "pipelines.index_documents", *words]
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"The job failed:\n{done.stdout[-2000:]}{done.stderr[-3000:]}")
    told = json.loads(report.read_text())
    assert told["documents"]["indexed"] == len(files), told
    return Pass("Ray Data job", told["chunks"], told["seconds"], note=f"{seconds:.0f} s with the start and end of Ray")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--documents", type=int, default=36)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", choices=["inline", "deployed", "job"])
    arguments = parser.parse_args()
    if not arguments.data.exists():
        print(f"Skipped: {arguments.data} is not there (CMRC 2018 trial set).")
        return
    configure_logging("WARNING")
    files = documents(arguments.data, arguments.documents)
    with engines(arguments.threads) as running:
        passes = measure(running, files, arguments)
    report(passes, files, arguments.threads)


def measure(running: Engines, files: Mapping[str, str], arguments: argparse.Namespace) -> list[Pass]:
    """All ways, each between two runs of the bare embedder."""
    embedder = build_embedder(running.settings)
    texts = asyncio.run(chunk_texts(files, embedder, running.settings.indexing))
    inline = Inline(running, embedder)
    ways: dict[str, list[Any]] = {
        "inline": [lambda: asyncio.run(inline.index(files, 1)), lambda: asyncio.run(inline.index(files, 2))],
        "deployed": [lambda: deployed(files, arguments.threads)],
        "job": [lambda: job(running, files, arguments.threads)],
    }
    chosen = [way for name, list_ in ways.items() if arguments.only in (None, name) for way in list_]
    passes = [asyncio.run(bare(embedder, texts))]
    for way in chosen * arguments.rounds:
        passes += [way(), asyncio.run(bare(embedder, texts))]
        assert passes[-2].chunks == len(texts), (passes[-2].way, passes[-2].chunks, len(texts))
    return passes


def report(passes: Sequence[Pass], files: Mapping[str, str], threads: int) -> None:
    """Everything as Markdown."""
    ratios: dict[str, list[float]] = {}
    for before, one, after in zip(passes[0::2], passes[1::2], passes[2::2], strict=False):
        ratios.setdefault(one.way, []).append(one.rate / ((before.rate + after.rate) / 2))
    characters = sum(len(text) for text in files.values()) / len(files)
    print(f"{len(files)} documents of {characters:.0f} characters, {passes[0].chunks} chunks; {threads} threads.\n")
    alone = [one.rate for one in passes[0::2]]
    rows = [["bare embedder", f"{median(alone):.2f}", "", f"{min(alone):.2f} to {max(alone):.2f} in {len(alone)} runs"]]
    for way, found in ratios.items():
        mine = [one for one in passes if one.way == way]
        rows.append([way, f"{median(one.rate for one in mine):.2f}", f"{median(found):.3f}", mine[0].note])
    print(table(["", "chunks/s", "of the bare embedder's", ""], rows))
    _where(passes)
    wanted = [(way, median(found)) for way, found in ratios.items()]
    print(
        aims(*(at_least(f"indexing, {way}: chunks/s over the bare embedder's", 0.85, ratio) for way, ratio in wanted))
    )


def _where(passes: Sequence[Pass]) -> None:
    shown = [one for one in passes if one.stages]
    if not shown:
        return
    alone = median(one.cpu["this process"] / one.chunks for one in passes if one.way == "bare embedder") * 1000
    print(f"\nCPU-milliseconds a chunk (the bare embedder: {alone:.0f}), and seconds in which a stage was at work:\n")
    rows = [[name, *(f"{one.cpu[name] / one.chunks * 1000:.0f}" for one in shown)] for name in shown[0].cpu]
    rows += [[f"stage {name}, s", *(f"{one.stages[name]:.1f}" for one in shown)] for name in STAGES]
    rows += [["whole, s", *(f"{one.seconds:.1f}" for one in shown)]]
    print(table(["", *(one.way for one in shown)], rows))


if __name__ == "__main__":
    main()
