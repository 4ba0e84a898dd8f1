"""Object stores: one set of promises, kept by files and, where a server is at hand, by S3."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from voicehelper.config import ObjectSettings, Settings
from voicehelper.errors import NotFound, Unavailable
from voicehelper.ports.objects import ObjectStore
from voicehelper.stores.files import FileObjectStore
from voicehelper.stores.objects import build_objects

ENDPOINT = os.environ.get("TEST_S3_ENDPOINT", "")
KEY = "0190-tenant/kb/version"


async def stream(*parts: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
    if error is not None:
        raise error


@pytest.fixture(params=["file", "s3"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ObjectStore]:
    if request.param == "file":
        yield FileObjectStore(tmp_path / "objects")
        return
    if not ENDPOINT:
        pytest.skip("set TEST_S3_ENDPOINT to an S3 server with the bucket `voicehelper` (keys `test`, `test-secret`)")
    pytest.importorskip("aioboto3", reason="the extra s3 is not installed")
    settings = ObjectSettings(backend="s3", endpoint_url=ENDPOINT, access_key="test", secret_key="test-secret")
    built = build_objects(Settings(objects=settings))
    yield built
    await built.delete(KEY)
    await built.close()  # type: ignore[attr-defined]


async def test_what_is_put_is_got_until_it_is_deleted(store: ObjectStore) -> None:
    await store.ping()
    assert await store.put(KEY, stream(b"one", b"", b"two")) == 6
    assert await store.get(KEY) == b"onetwo"
    assert await store.put(KEY, stream(b"replaced")) == 8
    assert await store.get(KEY) == b"replaced"
    await store.delete(KEY)
    await store.delete(KEY)
    with pytest.raises(NotFound):
        await store.get(KEY)


async def test_an_empty_object(store: ObjectStore) -> None:
    assert await store.put(KEY, stream()) == 0
    assert await store.get(KEY) == b""


@pytest.mark.parametrize("size", [8 * 2**20 - 1, 8 * 2**20, 20 * 2**20 + 5])
async def test_large_objects(store: ObjectStore, size: int) -> None:
    piece = bytes(range(256)) * 256
    data = (piece * (size // len(piece) + 1))[:size]
    parts = [data[start : start + 100_000] for start in range(0, size, 100_000)]
    assert await store.put(KEY, stream(*parts)) == size
    assert await store.get(KEY) == data


@pytest.mark.parametrize("parts", [[b"x" * 10], [b"x" * 2**20] * 20])
async def test_a_stream_that_breaks_off_leaves_nothing(store: ObjectStore, parts: list[bytes]) -> None:
    with pytest.raises(ConnectionResetError):
        await store.put(KEY, stream(*parts, error=ConnectionResetError()))
    with pytest.raises(NotFound):
        await store.get(KEY)


@pytest.mark.parametrize("key", ["../secret", "/etc/passwd", "a/../../b", "", ".partial/x", "a//b"])
async def test_files_stay_inside_the_root(tmp_path: Path, key: str) -> None:
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(NotFound):
        await FileObjectStore(tmp_path / "objects").get(key)
    with pytest.raises(NotFound):
        await FileObjectStore(tmp_path / "objects").put(key, stream(b"x"))


async def test_files_clean_up_behind_themselves(tmp_path: Path) -> None:
    store = FileObjectStore(tmp_path)
    with pytest.raises(ConnectionResetError):
        await store.put("t/kb/a", stream(b"x", error=ConnectionResetError()))
    await asyncio.gather(*(store.put(f"t/kb/{n}", stream(b"x")) for n in range(20)))
    await asyncio.gather(*(store.delete(f"t/kb/{n}") for n in range(20)))
    assert [path.name for path in await asyncio.to_thread(lambda: list(tmp_path.rglob("*")))] == [".partial"]


async def test_deleting_the_last_object_while_another_is_put(tmp_path: Path) -> None:
    store = FileObjectStore(tmp_path)
    for turn in range(30):
        await store.put("t/kb/old", stream(b"x"))
        await asyncio.gather(store.delete("t/kb/old"), store.put("t/kb/new", stream(b"y")))
        assert await store.get("t/kb/new") == b"y", turn
        await store.delete("t/kb/new")


async def test_a_disk_that_refuses_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    store = FileObjectStore(tmp_path / "file")
    with pytest.raises(Unavailable):
        await store.ping()
    with pytest.raises(Unavailable):
        await store.put("a", stream(b"x"))


async def test_s3_that_is_away_is_unavailable() -> None:
    pytest.importorskip("aioboto3", reason="the extra s3 is not installed")
    settings = ObjectSettings(backend="s3", endpoint_url="http://127.0.0.1:9", access_key="a", secret_key="b")
    store = build_objects(Settings(objects=settings))
    with pytest.raises(Unavailable):
        await store.ping()
    await store.close()  # type: ignore[attr-defined]
