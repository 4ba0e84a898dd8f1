"""Fake speech servers elsewhere: OpenAI's and Azure's shape, spoken over httpx without a socket."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx

PCM = bytes(range(250)) * 40


@dataclass
class FakeSpeechServer:
    """Answers with `PCM` in pieces that end anywhere, or with `status`; keeps requests, counts hang-ups."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[httpx.Request] = field(default_factory=list)
    closed: int = 0

    def connect(self, client: httpx.AsyncClient) -> httpx.AsyncClient:
        """A client like `client` whose requests come here."""
        return httpx.AsyncClient(
            transport=httpx.MockTransport(self._answer), base_url=client.base_url, headers=client.headers
        )

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.status != 200:
            return httpx.Response(self.status, headers=self.headers, text="secret account 4711")
        return httpx.Response(200, stream=_Pieces(self))


class _Pieces(httpx.AsyncByteStream):
    def __init__(self, server: FakeSpeechServer) -> None:
        self._server = server

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(PCM), 333):
            yield PCM[start : start + 333]

    async def aclose(self) -> None:
        self._server.closed += 1
