"""Point 4: bad input against a running server; every case wants a 4xx of our error format."""

import http.client
import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import uuid4

import httpx
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@dataclass(frozen=True)
class Case:
    name: str
    send: Callable[[], httpx.Response]
    statuses: tuple[int, ...]


def encrypted_pdf() -> bytes:
    out = io.BytesIO()
    canvas = Canvas(out, encrypt=StandardEncryption("user", "owner", canPrint=0))
    canvas.drawString(72, 720, "secret")
    canvas.save()
    return out.getvalue()


def docx_bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        with archive.open("word/document.xml", "w", force_zip64=True) as part:
            for _ in range(600):
                part.write(b" " * 2**20)
    return out.getvalue()


def big_file(size: int) -> Iterator[bytes]:
    boundary_head = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="big.txt"\r\nContent-Type: text/plain\r\n\r\n'
    )
    yield boundary_head
    for _ in range(size // 2**20):
        yield b"a" * 2**20
    yield b"\r\n--b--\r\n"


def announce(api: httpx.Client, path: str, headers: dict[str, str]) -> httpx.Response:
    """Send the head of a POST and wait for the answer. (httpx sends no head whose length its body does not have.)"""
    connection = http.client.HTTPConnection(api.base_url.host, api.base_url.port, timeout=30)
    try:
        connection.putrequest("POST", path)
        for name, value in {"Authorization": api.headers["Authorization"], **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return httpx.Response(answer.status, headers=answer.getheaders(), content=answer.read())
    finally:
        connection.close()


def cases(api: httpx.Client, kb_id: str, conversation_id: str) -> list[Case]:
    """All cases; `api` carries a valid token and the base URL."""
    documents = f"/api/v1/knowledge/bases/{kb_id}/documents"
    messages = f"/api/v1/conversations/{conversation_id}/messages"

    def upload(name: str, data: bytes, content_type: str) -> Callable[[], httpx.Response]:
        return lambda: api.post(documents, files={"file": (name, data, content_type)})

    def post(path: str, content: bytes | str) -> Callable[[], httpx.Response]:
        return lambda: api.post(path, content=content, headers={"Content-Type": "application/json"})

    multipart = {"Content-Type": "multipart/form-data; boundary=b"}
    return [
        Case("empty file", upload("a.txt", b"", "text/plain"), (400, 422)),
        Case("wrong type", upload("a.exe", b"MZ\x90\x00" * 50, "application/x-msdownload"), (415,)),
        Case("type does not match", upload("a.pdf", b"PK\x03\x04" + b"\0" * 99, "application/pdf"), (415, 422)),
        Case("broken PDF", upload("b.pdf", b"%PDF-1.7\n" + b"garbage " * 999, "application/pdf"), (422,)),
        Case("encrypted PDF", upload("e.pdf", encrypted_pdf(), "application/pdf"), (422,)),
        Case("zip bomb DOCX", upload("z.docx", docx_bomb(), DOCX), (413, 422)),
        Case("binary as text", upload("n.txt", bytes(range(256)) * 40, "text/plain"), (415, 422)),
        Case(
            "300 MB, announced",
            lambda: announce(api, documents, {**multipart, "Content-Length": str(300 * 2**20)}),
            (413,),
        ),
        Case("300 MB, chunked", lambda: api.post(documents, content=big_file(300 * 2**20), headers=multipart), (413,)),
        Case("no file field", lambda: api.post(documents, files={"other": ("a.txt", b"x")}), (400, 422)),
        Case("broken multipart", lambda: api.post(documents, content=b"--b\r\nrubbish", headers=multipart), (400,)),
        Case("name with a path", upload("../../etc/passwd", b"x" * 50, "text/plain"), (400, 415, 422)),
        Case("wrong id", lambda: api.get("/api/v1/knowledge/documents/abc123"), (400, 404)),
        Case("unknown id", lambda: api.get(f"/api/v1/knowledge/documents/{uuid4()}"), (404,)),
        Case("unknown route", lambda: api.get("/api/v1/nothing"), (404,)),
        Case("wrong method", lambda: api.put("/api/v1/auth/login", json={}), (405,)),
        Case("missing token", lambda: httpx.get(str(api.base_url.join("/api/v1/conversations"))), (401,)),
        Case(
            "garbled token", lambda: api.get("/api/v1/conversations", headers={"Authorization": "Bearer x.y.z"}), (401,)
        ),
        Case(
            "wrong password",
            lambda: api.post("/api/v1/auth/login", json={"email": "nobody@example.com", "password": "Wrong12345"}),
            (401,),
        ),
        Case("malformed JSON", post(messages, '{"content": '), (400, 422)),
        Case("JSON of the wrong shape", post(messages, "[1, 2]"), (400, 422)),
        Case("NUL in the text", post(messages, '{"content": "a\\u0000b"}'), (400, 422)),
        Case("lone surrogate", post(messages, '{"content": "\\ud800"}'), (400, 422)),
        Case("invalid UTF-8", post(messages, b'{"content": "\xff\xfe"}'), (400, 422)),
        Case("empty question", post(messages, '{"content": "  "}'), (400, 422)),
        Case("question of 2 MB", post(messages, '{"content": "' + "问" * 700_000 + '"}'), (400, 413, 422)),
        Case("deep JSON", post(messages, "[" * 100_000), (400, 413, 422)),
        Case("huge number", post("/api/v1/search", '{"query": "a", "kb_ids": [], "top_k": 1e400}'), (400, 422)),
    ]


def is_our_error(response: httpx.Response) -> bool:
    try:
        body = response.json()
    except ValueError:
        return False
    return (
        set(body) == {"code", "message", "details", "trace_id"}
        and body["code"] // 100 == response.status_code
        and "Traceback" not in response.text
    )


def run(api: httpx.Client, kb_id: str, conversation_id: str) -> tuple[int, list[str]]:
    """Number of cases, and a line for each that went wrong."""
    wrong = []
    all_cases = cases(api, kb_id, conversation_id)
    for case in all_cases:
        try:
            response = case.send()
        except (httpx.HTTPError, http.client.HTTPException, OSError) as error:
            wrong.append(f"{case.name}: {type(error).__name__} {error}")
            continue
        if response.status_code not in case.statuses or not is_our_error(response):
            wrong.append(f"{case.name}: {response.status_code} {response.text[:120]}")
    return len(all_cases), wrong
