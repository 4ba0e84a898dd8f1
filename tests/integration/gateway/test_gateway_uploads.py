"""Uploading: streamed through, and every broken way of sending a file."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

B = b"XyZ"
TYPE = {"Content-Type": "multipart/form-data; boundary=XyZ"}


def part(name: bytes = b"file", filename: bytes = b"a.md", data: bytes = b"# A\n\ntext", extra: bytes = b"") -> bytes:
    head = b'Content-Disposition: form-data; name="' + name + b'"; filename="' + filename + b'"\r\n' + extra
    return b"--" + B + b"\r\n" + head + b"\r\n" + data + b"\r\n"


END = b"--" + B + b"--\r\n"


async def send(harness: Any, body: Any, headers: dict[str, str] | None = None) -> Any:
    bases = (await harness.http.get("/api/v1/knowledge/bases")).json()["items"]
    kb = bases[0]["id"] if bases else await harness.base()
    path = f"/api/v1/knowledge/bases/{kb}/documents"
    return await harness.http.post(path, content=body, headers=TYPE if headers is None else headers)


async def test_upload_list_status_delete(harness: Any) -> None:
    kb = await harness.base()
    path = f"/api/v1/knowledge/bases/{kb}/documents"
    response = await harness.http.post(path, files={"file": ("退款 政策.md", "# 退款".encode(), "text/markdown")})
    assert response.status_code == 202, response.text
    document = response.json()
    assert (document["name"], document["status"], document["size_bytes"]) == ("退款 政策.md", "pending", 8)
    assert list(harness.objects.blobs.values()) == ["# 退款".encode()]
    status = (await harness.http.get(f"/api/v1/knowledge/documents/{document['id']}/status")).json()
    assert status == {k: document[k] for k in ("id", "status", "reason", "error", "chunk_count", "attempts")}
    assert [d["id"] for d in (await harness.http.get(path)).json()["items"]] == [document["id"]]
    assert (await harness.http.get(path, params={"status": "indexed"})).json()["items"] == []
    assert (await harness.http.get(path, params={"status": "weird"})).status_code == 400
    assert (await harness.http.get(f"/api/v1/knowledge/bases/{kb}")).json()["documents"] == 1
    assert (await harness.http.delete(f"/api/v1/knowledge/documents/{document['id']}")).status_code == 204
    assert (await harness.http.get(f"/api/v1/knowledge/documents/{document['id']}")).status_code == 404
    assert harness.objects.blobs == {}
    assert (await harness.http.delete(f"/api/v1/knowledge/bases/{kb}")).status_code == 204
    assert (await harness.http.delete(f"/api/v1/knowledge/bases/{kb}")).status_code == 404


async def test_the_same_content_again_changes_nothing(harness: Any) -> None:
    first, second = [(await send(harness, part() + END)).json() for _ in range(2)]
    assert first["id"] == second["id"]
    assert len(harness.objects.blobs) == 1


async def test_a_taken_name_of_a_base(harness: Any) -> None:
    await harness.base("x")
    again = await harness.http.post("/api/v1/knowledge/bases", json={"name": "x"})
    assert (again.status_code, again.json()["code"]) == (409, 40901)


BROKEN_UPLOADS = [
    (b"", 40001),
    (END, 40001),
    (b"no multipart at all", 40003),
    (part(name=b"other") + END, 40001),
    (part() + part(filename=b"b.md") + END, 40001),
    (part(), 40003),
    (part()[:-10], 40003),
    (part(data=b"x" * 50_000), 40003),
    (part(data=b"") + END, 40004),
    (part(filename=b"") + END, 40001),
    (part(filename=b"..") + END, 40001),
    (part(filename=b"../../etc/passwd.md") + END, 40001),
    (part(filename=b"a\x00b.md") + END, 40001),
    (part(filename=b"\xff\xfe\xff.md") + END, 40001),
    (part(filename=b"n" * 600 + b".md") + END, 40001),
    (part(filename=b"run.exe") + END, 41501),
    (part(filename=b"noextension") + END, 41501),
    (part(data=b"x" * 200_001) + END, 41301),
    (part(data=b"x" * 400_000) + END, 41301),
    (b"--" + B + b"\r\nContent-Disposition: form-data\r\n\r\nx\r\n" + END, 40001),
    (b"--" + B + b"\r\n: no name\r\n\r\nx\r\n" + END, 40003),
    (b"--" + B + b"\r\n" + b"X-H: " + b"h" * 20_000 + b"\r\n\r\nx\r\n" + END, 40003),
]


async def test_broken_uploads(harness: Any) -> None:
    for body, code in BROKEN_UPLOADS:
        response = await send(harness, body)
        assert response.json()["code"] == code, (body[:100], response.text)
        assert harness.objects.blobs == {}, body[:100]
    assert (await send(harness, part() + END)).status_code == 202


OTHER_TYPES = [
    ("application/json", 41501),
    ("multipart/mixed; boundary=XyZ", 41501),
    ("multipart/form-data", 40003),
    ("multipart/form-data; boundary=", 40003),
    ("multipart/form-data; boundary=" + "b" * 300, 40003),
    ("", 41501),
]


async def test_uploads_of_another_type(harness: Any) -> None:
    for kind, code in OTHER_TYPES:
        response = await send(harness, part() + END, {"Content-Type": kind})
        assert response.json()["code"] == code, response.text


async def test_a_gbk_file_name_is_understood(harness: Any) -> None:
    response = await send(harness, part(filename="退款政策.md".encode("gb18030")) + END)
    assert response.json()["name"] == "退款政策.md"


async def test_bytes_that_look_like_the_boundary_stay_data(harness: Any) -> None:
    data = b"\r\n--Xy\r\n-- XyZ \r\n" * 100
    assert (await send(harness, part(data=data) + END)).status_code == 202
    assert list(harness.objects.blobs.values()) == [data]


async def test_fields_before_and_after_the_file_are_ignored(harness: Any) -> None:
    body = part(name=b"note", data=b"1") + part() + part(name=b"after", data=b"2") + END
    assert (await send(harness, body)).status_code == 202
    assert list(harness.objects.blobs.values()) == [b"# A\n\ntext"]


async def test_any_split_of_the_body_gives_the_same_file(harness: Any) -> None:
    body = part(data="第一\r\n第二".encode()) + END
    for size in (1, 2, 3, 7, 50):

        async def pieces(size: int = size) -> AsyncIterator[bytes]:
            for start in range(0, len(body), size):
                yield body[start : start + size]

        assert (await send(harness, pieces())).status_code == 202
        assert list(harness.objects.blobs.values()) == ["第一\r\n第二".encode()]


async def test_the_file_flows_through_without_being_held(harness: Any) -> None:
    """The object store sees the first bytes while the client still sends."""
    arrived, seen = asyncio.Event(), []

    async def put(key: str, data: AsyncIterator[bytes]) -> int:
        async for piece in data:
            seen.append(len(piece))
            arrived.set()
        return sum(seen)

    harness.objects.put = put

    async def slow() -> AsyncIterator[bytes]:
        body = part(data=b"x" * 100_000) + END
        yield body[:50_000]
        await asyncio.wait_for(arrived.wait(), 5)
        yield body[50_000:]

    assert (await send(harness, slow())).status_code == 202
    assert len(seen) >= 2
    assert sum(seen) == 100_000


async def test_a_client_that_leaves_midway_leaves_nothing(harness: Any) -> None:
    kb = await harness.base()
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": part(data=b"x" * 1000)[:500], "more_body": True},
        {"type": "http.disconnect"},
    ]
    received = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(received)

    async def respond(message: Any) -> None:
        raise AssertionError(message)

    authorization = harness.http.headers["authorization"].encode()
    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/api/v1/knowledge/bases/{kb}/documents",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"content-type", TYPE["Content-Type"].encode()), (b"authorization", authorization)],
    }
    await harness.app(scope, receive, respond)
    assert (await harness.http.get(f"/api/v1/knowledge/bases/{kb}/documents")).json()["items"] == []
    assert harness.objects.blobs == {}


async def test_an_announced_giant_is_refused_before_it_is_read(harness: Any) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("was read")
        yield b""

    response = await send(harness, never(), {**TYPE, "Content-Length": str(300 * 2**20)})
    assert (response.status_code, response.json()["code"]) == (413, 41301)
