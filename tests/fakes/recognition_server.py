"""A fake of the recognisers elsewhere: Azure Speech for short audio and OpenAI's transcriptions, over a real socket."""

import asyncio
import io
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


@dataclass
class FakeRecognitionServer:
    """`answer` (status, body) is what it says next; `requests` what it was asked."""

    answer: tuple[int, Any] = (200, {"text": "你好"})
    delay_s: float = 0.0
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)

    async def azure(self, request: Request) -> Response:
        return await self._answered(
            {
                "query": dict(request.query_params),
                "headers": dict(request.headers),
                "seconds": _seconds(await request.body()),
            }
        )

    async def openai(self, request: Request) -> Response:
        async with request.form() as form:
            fields = {name: form.getlist(name) for name in form if name != "file"}
            file = await form["file"].read()
        return await self._answered({"fields": fields, "headers": dict(request.headers), "seconds": _seconds(file)})

    async def _answered(self, seen: dict[str, Any]) -> Response:
        self.requests.append(seen)
        await asyncio.sleep(self.delay_s)
        status, body = self.answer
        return Response(body, status) if isinstance(body, bytes) else JSONResponse(body, status)


def _seconds(data: bytes) -> float:
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16_000)
        return file.getnframes() / file.getframerate()


@asynccontextmanager
async def recognition_server() -> AsyncIterator[FakeRecognitionServer]:
    """On a free loopback port for the length of the block."""
    fake = FakeRecognitionServer()
    app = Starlette(
        routes=[
            Route("/speech/recognition/conversation/cognitiveservices/v1", fake.azure, methods=["POST"]),
            Route("/v1/audio/transcriptions", fake.openai, methods=["POST"]),
        ]
    )
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    fake.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield fake
    finally:
        server.should_exit = True
        with suppress(asyncio.CancelledError):
            await task
