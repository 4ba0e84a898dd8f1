"""The master key, sealed texts, and API keys as text."""

import base64
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from voicehelper.config import IdentitySettings, Settings
from voicehelper.errors import Unavailable
from voicehelper.identity.opaque_tokens import API_KEY
from voicehelper.identity.secrets import SecretBox, derive_key, load_master_key
from voicehelper.ids import new_id

MASTER = os.urandom(32)


def settings(home: Path, key: str | None = None) -> Settings:
    return Settings(home=home, identity=IdentitySettings(master_key=None if key is None else SecretStr(key)))


def test_what_was_sealed_opens() -> None:
    box = SecretBox(MASTER, "one")
    for plain in (b"", b"secret", os.urandom(100_000)):
        sealed = box.seal(plain)
        assert len(sealed) == len(plain) + 45
        assert box.open(sealed) == plain
    assert box.seal(b"secret") != box.seal(b"secret")


def test_nothing_else_opens() -> None:
    box = SecretBox(MASTER, "one")
    sealed = box.seal(b"secret", b"row 1")
    assert box.open(sealed, b"row 1") == b"secret"
    attempts = [
        (SecretBox(MASTER, "two"), sealed, b"row 1"),
        (SecretBox(os.urandom(32), "one"), sealed, b"row 1"),
        (box, sealed, b"row 2"),
        (box, b"", b""),
        (box, sealed[:20], b"row 1"),
        (box, sealed[:40], b"row 1"),
        (box, b"\x02" + sealed[1:], b"row 1"),
        *((box, sealed[:i] + bytes([sealed[i] ^ 1]) + sealed[i + 1 :], b"row 1") for i in range(len(sealed))),
    ]
    for opener, text, bound_to in attempts:
        with pytest.raises(ValueError, match="sealed"):
            opener.open(text, bound_to)


def test_purposes_have_keys_of_their_own() -> None:
    assert len({derive_key(MASTER, "a"), derive_key(MASTER, "b"), derive_key(os.urandom(32), "a"), MASTER}) == 4
    assert derive_key(MASTER, "a") == derive_key(MASTER, "a")


def test_the_master_key_is_made_once_and_private(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        keys = set(threads.map(lambda _: load_master_key(settings(tmp_path)), range(8)))
    assert len(keys) == 1
    assert stat.S_IMODE((tmp_path / "keys" / "master.key").stat().st_mode) == 0o600


def test_the_master_key_may_be_given(tmp_path: Path) -> None:
    assert load_master_key(settings(tmp_path, base64.b64encode(MASTER).decode())) == MASTER
    assert load_master_key(settings(tmp_path, base64.urlsafe_b64encode(MASTER).decode())) == MASTER
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("key", ["", "no base64!", base64.b64encode(b"short").decode()])
def test_an_unusable_master_key_is_told_plainly(tmp_path: Path, key: str) -> None:
    with pytest.raises(Unavailable, match="MASTER_KEY") as caught:
        load_master_key(settings(tmp_path, key))
    assert not key or key not in str(caught.value)


def test_api_keys_are_read_back() -> None:
    key_id = new_id()
    text, secret_hash = API_KEY.make(key_id)
    parsed = API_KEY.parse(text)
    assert parsed is not None
    assert (parsed.id, parsed.secret_hash) == (key_id, secret_hash)
    assert API_KEY.make(key_id)[0] != text
    assert text.split("_", 2)[2].encode() not in secret_hash


def test_what_is_no_api_key() -> None:
    text, _ = API_KEY.make(new_id())
    others = [
        "",
        "vhk_",
        text[:-1],
        text + "a",
        "vhr_" + text[4:],
        text.upper(),
        text.replace("_", "-"),
        "é" + text[1:],
    ]
    assert [API_KEY.parse(other) for other in others] == [None] * len(others)
