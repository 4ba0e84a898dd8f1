"""Bulk indexing as a Ray Data job, beside the running service or without it.

    ray job submit -- python -m pipelines.index_documents --input DIR_OR_S3 --kb NAME
    python -m pipelines.index_documents --local --input DIR --kb NAME      # a Ray of its own

Files stream through three pools of actors: read and parse, cut and embed, write. Run it again after a crash, or over a
folder that grew: what is indexed with the same content is skipped. Exit status: 0 when every file came to an end, be it
indexed or failed with a reason (the report lists them); 1 when some did not, or the job broke; 2 for wrong arguments.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import ray
from ray.data import DataContext

from pipelines.engines import Engines, patiently
from pipelines.report import Outcome, Report
from pipelines.sources import Source, SourceFile
from pipelines.stages import EmbedStage, Job, ReadStage, WriteStage, outcome_of
from voicehelper.config import Settings, public_arguments
from voicehelper.errors import Conflict, InvalidInput, NotFound, VoiceHelperError
from voicehelper.ids import new_id
from voicehelper.knowledge.follower import KeywordFollower
from voicehelper.knowledge.names import base_name, document_name
from voicehelper.stores.keyword_files import index_name, keyword_folder
from voicehelper.stores.postgres import guard
from voicehelper.stores.postgres.migrate import migrate
from voicehelper.stores.tantivy import KeywordWriter
from voicehelper.telemetry import configure_logging, get_logger

log = get_logger(__name__)

FILES_PER_BATCH = 8
PROGRESS_S = 2.0
SETTLE_S = 120.0
"""Nothing moving for so long ends the job with files unfinished."""

FOLLOWER_CHECK_S = 2.0
"""How often a job looks whether somebody still keeps a keyword index."""

RESOURCES = {"read": 0.1, "embed": 0.5, "write": 0.1}
"""CPUs Ray counts for an actor: small, so that a job finds room beside the service on one machine."""


class IndexJob:
    """One run over one input."""

    def __init__(self, settings: Settings, engines: Engines, report: Report, arguments: argparse.Namespace) -> None:
        self._settings = settings
        self._engines = engines
        self._report = report
        self._arguments = arguments
        self._owner = f"job:{new_id()}"

    async def run(self, tenant_id: UUID, kb_id: UUID) -> None:
        """Index everything; the report holds the outcome."""
        lease_s = self._settings.indexing.lease_s
        job = Job(self._owner, tenant_id, kb_id, lease_s, self._arguments.input)
        source = Source(job.source, self._settings.objects)
        found = await asyncio.to_thread(source.list)
        files = [replace(file, name=_canonical(file.name)) for file in found]
        started = time.monotonic()
        async with self._background(lease_s):
            await self._passes(job, files, started)
            self._report.seconds = time.monotonic() - started
            await self._settle(job)

    async def _passes(self, job: Job, files: Sequence[SourceFile], started: float) -> None:
        """Go over the files, and again over those that another worker had and did not finish."""
        moved = time.monotonic()
        while files and time.monotonic() - moved < SETTLE_S:
            await asyncio.to_thread(self._stream, job, files, started)
            deadline = time.monotonic() + 2 * job.lease_s
            while self._others() and time.monotonic() < deadline:
                await self._look_again(job, self._others())
                await asyncio.sleep(0.5)
            left = [file for file in files if file.name in set(self._others())]
            if len(left) < len(files):
                moved = time.monotonic()
            files = left

    def _stream(self, job: Job, files: Sequence[SourceFile], started: float) -> None:
        """One pass. Blocking: Ray Data runs the stages, this thread takes in the outcomes."""
        told = started
        for row in _dataset(self._settings, job, files, self._arguments.concurrency).iter_rows():
            self._report.add(outcome_of(row))
            if time.monotonic() - told > PROGRESS_S:
                told = time.monotonic()
                self._tell(len(files), told - started)
        self._tell(len(files), time.monotonic() - started)

    def _tell(self, total: int, seconds: float) -> None:
        report = self._report
        line = (
            f"{len(report.outcomes)} of {total} files, {report.chunks} chunks, {report.chunks / seconds:.1f} chunks/s"
        )
        failed = f", {len(report.failures)} failed" if report.failures else ""
        sys.stderr.write(f"{line}{failed}\n")
        sys.stderr.flush()

    def _others(self) -> list[str]:
        return [outcome.name for outcome in self._report.outcomes.values() if outcome.state == "elsewhere"]

    async def _settle(self, job: Job) -> None:
        """Wait until what was stored counts as indexed: a keyword index somewhere has to apply it."""
        deadline = time.monotonic() + SETTLE_S
        while self._report.unfinished and time.monotonic() < deadline:
            await self._look_again(job, self._report.unfinished)
            await asyncio.sleep(0.3)

    async def _look_again(self, job: Job, names: Sequence[str]) -> None:
        """Ask the database what became of these."""
        for name in names:
            before = self._report.outcomes[name]
            find = partial(self._engines.knowledge.find_document, job.tenant_id, job.kb_id, name)
            document = await patiently("postgres", find)
            if document is None:
                self._report.add(Outcome(name, "failed", "deleted", "The document was deleted meanwhile"))
            elif document.status in ("indexed", "failed"):
                self._report.add(Outcome(name, document.status, document.reason, document.error, before.chunks))

    @asynccontextmanager
    async def _background(self, lease_s: float) -> AsyncIterator[None]:
        """Keep the job's leases, and where nobody follows the changes for a keyword index, do so."""
        tasks = [asyncio.create_task(self._heartbeat(lease_s)), asyncio.create_task(self._follow())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with suppress(VoiceHelperError, TimeoutError):
                await self._engines.queue.release(self._owner)

    async def _heartbeat(self, lease_s: float) -> None:
        while True:
            await patiently("postgres", lambda: self._engines.queue.renew(self._owner, lease_s))
            await asyncio.sleep(lease_s / 3)

    async def _follow(self) -> None:
        """The running service does this, if there is one. One that died just now still counts for a moment."""
        folder = keyword_folder(self._settings)
        while await patiently("postgres", self._engines.feed.anyone_alive):  # noqa: ASYNC110 - asks a database
            await asyncio.sleep(FOLLOWER_CHECK_S)
        await KeywordFollower(self._engines.feed, lambda: KeywordWriter(folder), index_name(folder)).run()


def _dataset(settings: Settings, job: Job, files: Sequence[SourceFile], concurrency: int) -> Any:
    """The stream of outcomes. A lost actor is replaced and its rows are done again, which stores nothing twice."""
    arguments: dict[str, Any] = {"fn_constructor_args": (public_arguments(settings), job)}
    read_stage, write_stage = cast(Any, ReadStage), cast(Any, WriteStage)  # `map` takes classes, its types do not
    rows = [{"name": file.name, "path": file.path, "size": file.size} for file in files]
    read = ray.data.from_items(rows, override_num_blocks=max(1, len(rows) // FILES_PER_BATCH))
    parsed = read.map(read_stage, concurrency=concurrency, num_cpus=RESOURCES["read"], **arguments)
    embedded = parsed.map_batches(
        EmbedStage,
        batch_size=FILES_PER_BATCH,
        batch_format="numpy",
        concurrency=concurrency,
        num_cpus=RESOURCES["embed"],
        **arguments,
    )
    return embedded.map(write_stage, concurrency=concurrency, num_cpus=RESOURCES["write"], **arguments)


def _canonical(name: str) -> str:
    """The name the document gets; one that is not allowed stays as it is, to be reported."""
    try:
        return document_name(name)
    except InvalidInput:
        return name


async def index(arguments: argparse.Namespace, settings: Settings) -> Report:
    """Run the job. Raises `VoiceHelperError` when it cannot even begin, `TimeoutError` when an engine stays away."""
    await patiently("postgres", lambda: migrate(settings.postgres_dsn()))
    engines = Engines(settings)
    await engines.open(connections=6)
    try:
        async with guard.connection(engines.pool, guard.SYSTEM) as connection:
            tenant_id = await connection.fetchval("SELECT id FROM tenants WHERE name = $1", arguments.tenant)
        if tenant_id is None:
            raise NotFound(f"There is no tenant {arguments.tenant!r}")
        kb_id = await _ensure_base(engines, tenant_id, base_name(arguments.kb))
        report = Report(arguments.kb)
        await IndexJob(settings, engines, report, arguments).run(tenant_id, kb_id)
        return report
    finally:
        await engines.close()


async def _ensure_base(engines: Engines, tenant_id: UUID, name: str) -> UUID:
    with suppress(Conflict):  # it is there, perhaps since a moment ago
        await engines.knowledge.create_base(tenant_id, name, "")
    base = await engines.knowledge.find_base(tenant_id, name)
    assert base is not None
    return base.id


def parse_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line. Exits with status 2 when it is wrong."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.index_documents", description=__doc__.split("\n")[0])
    parser.add_argument("--input", required=True, help="folder that every machine can read, or s3://bucket/prefix")
    parser.add_argument("--kb", required=True, help="name of the knowledge base; created if it is not there")
    parser.add_argument("--tenant", default="default", help="name of the tenant (default: default)")
    parser.add_argument("--concurrency", type=int, default=1, help="actors of each stage (default: 1)")
    parser.add_argument("--report", type=Path, help="write the report to this file as JSON")
    parser.add_argument("--local", action="store_true", help="start a Ray of its own instead of joining a cluster")
    arguments = parser.parse_args(words)
    if arguments.concurrency < 1:
        parser.error("--concurrency must be at least 1")
    return arguments


def main(words: Sequence[str] | None = None) -> int:
    """Run, print the report, return the exit status."""
    arguments = parse_arguments(words)
    settings = Settings()
    configure_logging(settings.telemetry.log_level)
    ray.init(address="local" if arguments.local else "auto", log_to_driver=False)
    DataContext.get_current().enable_progress_bars = False
    try:
        report = asyncio.run(index(arguments, settings))
    except VoiceHelperError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    finally:
        ray.shutdown()
    if arguments.report is not None:
        report.write(arguments.report)
    sys.stdout.write(report.text() + "\n")
    return 1 if report.unfinished else 0


if __name__ == "__main__":
    sys.exit(main())
