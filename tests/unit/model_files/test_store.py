"""The partial file, the store, derived artefacts, and `voicehelper models` on them."""

import hashlib
from importlib.metadata import distribution
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import voicehelper.embedded.models as models
from voicehelper.cli.models import register
from voicehelper.config import Settings
from voicehelper.embedded.models import Manifest, ModelStore, NullProgress, ensure_models, model_path
from voicehelper.embedded.models.errors import HashMismatch, ModelNotPulled
from voicehelper.embedded.models.partial import PartialFile
from voicehelper.embedded.models.pull import Puller
from voicehelper.errors import ModelUnavailable

DATA = b"0123456789" * 1000
SHA = hashlib.sha256(DATA).hexdigest()
BUILDER = """
import pathlib, sys
source, folder = map(pathlib.Path, sys.argv[1:])
(folder / "double").write_bytes(source.read_bytes() * 2)
"""


def test_a_partial_file_continues_with_the_right_hash(tmp_path):
    path = tmp_path / "x.part"
    with PartialFile(path, len(DATA), SHA) as partial:
        partial.append(DATA[:4000])
    with PartialFile(path, len(DATA), SHA) as partial:
        assert partial.offset == 4000
        partial.rewind(2500)
        partial.append(DATA[2500:])
        assert partial.complete
        partial.check()
    assert path.read_bytes() == DATA


def test_a_wrong_partial_file_is_deleted(tmp_path):
    path = tmp_path / "x.part"
    with PartialFile(path, len(DATA), SHA) as partial, pytest.raises(HashMismatch):
        partial.append(DATA[::-1])
        partial.check()
    assert not path.exists()


@pytest.fixture
def manifest(tmp_path, monkeypatch) -> Manifest:
    """A file that an installed distribution carries (PyYAML's own), and a folder derived from it."""
    installed = Path(str(distribution("pyyaml").locate_file("yaml/nodes.py")))
    (tmp_path / "double_builder.py").write_text(BUILDER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    base = {"upstream": "o/a", "licence": "MIT"}
    source = {"kind": "installed", "distribution": "pyyaml", "file": "yaml/nodes.py"}
    recipe = {"source": "plain", "builder": "double_builder", "version": 1, "size": 100}
    data = installed.read_bytes()
    plain = {"name": "plain", "role": "chat", "file": "nodes.py", "size": len(data), "sources": [source]}
    made = Manifest.model_validate(
        {
            "models": [
                base | plain | {"sha256": hashlib.sha256(data).hexdigest()},
                base | {"name": "twice", "role": "embedding", "derived": recipe},
                base | {"name": "folder", "role": "stt", "bundle": ["plain"]},
            ]
        }
    )
    monkeypatch.setattr(models, "load_manifest", lambda: made)
    return made


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Settings:
    monkeypatch.setenv("VOICEHELPER_CACHE", str(tmp_path / "cache"))
    return Settings()


def test_a_derived_model_is_built_from_its_source(manifest, settings):
    folder = ensure_models(settings, ["twice"])["twice"]
    assert folder == settings.cache / "models/twice"
    source = model_path(settings, "plain").read_bytes()
    assert (folder / "double").read_bytes() == source * 2
    assert ModelStore(settings.cache, manifest).verify(manifest.get("twice")) == []


def test_a_bundle_is_a_folder_of_its_members_files(manifest, settings):
    with pytest.raises(ModelNotPulled):
        model_path(settings, "folder")
    folder = ensure_models(settings, ["folder"])["folder"]
    assert folder == model_path(settings, "folder") == settings.cache / "models/folder"
    assert (folder / "nodes.py").read_bytes() == model_path(settings, "plain").read_bytes()
    model_path(settings, "plain").write_bytes(b"!")
    assert command("verify", "folder").exit_code == 1
    ModelStore(settings.cache, manifest).remove(manifest.get("folder"))
    with pytest.raises(ModelNotPulled):
        model_path(settings, "plain")


def test_a_failing_builder_leaves_nothing(manifest, settings, tmp_path):
    (tmp_path / "double_builder.py").write_text("raise SystemExit('no room')")
    with pytest.raises(ModelUnavailable, match="no room"):
        ensure_models(settings, ["twice"])
    assert not (settings.cache / "derived").exists()
    assert list((settings.cache / "downloads").iterdir()) == []


def test_a_missing_distribution_is_told(manifest, settings):
    entry = manifest.get("plain")
    source = entry.sources[0].model_copy(update={"distribution": "no-such-thing"})
    broken = Manifest(models=(entry.model_copy(update={"sources": (source,)}),))
    with pytest.raises(ModelUnavailable, match="plain: no-such-thing is not installed"):
        Puller(ModelStore(settings.cache, broken), NullProgress()).pull(["plain"])


def test_a_path_is_not_given_before_the_pull(manifest, settings):
    with pytest.raises(ModelNotPulled, match="voicehelper models pull plain"):
        model_path(settings, "plain")


def test_a_lost_link_comes_back(manifest, settings):
    link = ensure_models(settings, ["plain"])["plain"]
    link.unlink()
    link.symlink_to("nowhere")
    assert ensure_models(settings, ["plain"])["plain"].read_bytes() == model_path(settings, "plain").read_bytes()


def command(*words: str):
    app = typer.Typer()
    register(app)
    return CliRunner().invoke(app, ["models", *words])


def test_list_tells_states(manifest, settings):
    ensure_models(settings, ["plain"])
    lines = command("list").stdout.splitlines()
    assert any("plain" in line and "here" in line and "MIT" in line for line in lines)
    assert any("twice" in line and "missing" in line for line in lines)


def test_pull_and_verify_are_honest(manifest, settings):
    pulled = command("pull", "--all")
    assert pulled.exit_code == 0, pulled.output
    assert command("verify").exit_code == 0
    double = model_path(settings, "twice") / "double"
    double.write_bytes(b"!" + double.read_bytes()[1:])
    damaged = command("verify", "--remove-damaged")
    assert damaged.exit_code == 1
    assert "plain: ok" in damaged.stdout
    assert "twice: double: SHA-256 differs" in damaged.stdout
    assert command("verify", "twice").exit_code == 1
    assert command("pull", "twice").exit_code == 0
    assert command("verify", "twice").exit_code == 0


def test_pull_fails_plainly(manifest, settings):
    result = command("pull", "nothing-like-it")
    assert result.exit_code == 1
    assert "there are: plain, twice, folder" in result.stderr
    assert "Traceback" not in result.output
