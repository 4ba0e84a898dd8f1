"""Files that came with an installed dependency; its code is not imported."""

from importlib.metadata import PackageNotFoundError, distribution

from voicehelper.embedded.models.errors import SourceFailed
from voicehelper.embedded.models.job import Job
from voicehelper.embedded.models.manifest import InstalledSource
from voicehelper.embedded.models.partial import CHUNK


def fetch_installed(source: InstalledSource, job: Job) -> None:
    """Copy the file into the job's. Raises `SourceFailed` when it is not installed, or in another size."""
    try:
        path = distribution(source.distribution).locate_file(source.file)
        with open(str(path), "rb") as file:  # noqa: PTH123 - a SimplePath has no open
            if file.seek(0, 2) != job.entry.size:
                raise SourceFailed(f"the installed {source.distribution} carries another {source.file}")
            file.seek(job.partial.offset)
            while chunk := file.read(CHUNK):
                job.cancel.check()
                job.partial.append(chunk)
                job.report(job.partial.offset)
    except (PackageNotFoundError, FileNotFoundError) as error:
        raise SourceFailed(f"{source.distribution} is not installed") from error
