"""The files of a job: a folder, or a prefix of a bucket (`s3://bucket/prefix`)."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pyarrow import fs

from voicehelper.config import ObjectSettings
from voicehelper.errors import InvalidInput, NotFound

S3 = "s3://"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to index. `name` is its path below the input."""

    name: str
    path: str
    size: int


class Source:
    """Lists and reads the input.

    A bucket is reached with the endpoint and keys of `settings.objects`, or as the AWS environment says.
    """

    def __init__(self, uri: str, settings: ObjectSettings) -> None:
        if uri.startswith(S3):
            self._files: Any = _s3(settings)
            self._root = uri.removeprefix(S3).rstrip("/")
        elif "://" in uri:
            raise InvalidInput("--input must be a folder or s3://bucket/prefix")
        else:
            self._files = fs.LocalFileSystem()
            self._root = str(Path(uri).resolve())

    def list(self) -> list[SourceFile]:
        """All files below the input by name, without hidden ones. Raises `NotFound` when it is not a folder."""
        if self._files.get_file_info(self._root).type != fs.FileType.Directory:
            raise NotFound(f"{self._root} is not a folder")
        found = self._files.get_file_info(fs.FileSelector(self._root, recursive=True))
        files = [
            SourceFile(str(PurePosixPath(info.path).relative_to(self._root)), info.path, info.size)
            for info in found
            if info.type == fs.FileType.File
        ]
        return sorted((file for file in files if not _hidden(file.name)), key=lambda file: file.name)

    def read(self, path: str) -> bytes:
        """The whole file. Raises `OSError`."""
        with self._files.open_input_stream(path) as stream:
            return bytes(stream.read())


def _s3(settings: ObjectSettings) -> Any:
    options: dict[str, Any] = {"region": settings.region}
    if settings.endpoint_url:
        scheme, _, address = settings.endpoint_url.rpartition("://")
        options |= {"scheme": scheme or "https", "endpoint_override": address.rstrip("/")}
    if settings.access_key.get_secret_value():
        options |= {
            "access_key": settings.access_key.get_secret_value(),
            "secret_key": settings.secret_key.get_secret_value(),
        }
    return fs.S3FileSystem(**options)


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(name).parts)
