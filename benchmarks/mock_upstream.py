"""A mock of a model vendor for measuring what lies in front of it: OpenAI's wire format, a fixed answer, no model.

    python -m benchmarks.mock_upstream PORT [--chunks 16] [--delay-s 0] [--completion-tokens 16]

It does as little as a server can: one asyncio protocol under uvloop, answers prepared as bytes, a stream's chunks
written one by one. `GET /ready`; `GET /count` says how many completions were begun.
"""

import argparse
import asyncio
import json
from typing import Any

import uvloop

PROMPT_TOKENS = 10
_WORD = "word "


class Answers:
    """The bytes of every answer; `delay_s` passes before its first byte."""

    def __init__(self, chunks: int, delay_s: float, completion_tokens: int) -> None:
        self.delay_s = delay_s
        self.begun = 0
        tokens = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": completion_tokens}
        usage = tokens | {"total_tokens": PROMPT_TOKENS + completion_tokens}
        facts = {"id": "chatcmpl-mock", "created": 1, "model": "mock"}
        message = {"role": "assistant", "content": _WORD * chunks}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        whole = facts | {"object": "chat.completion", "choices": [choice], "usage": usage}
        self.unary = _response(json.dumps(whole).encode())
        self.stream = _stream(facts | {"object": "chat.completion.chunk"}, chunks, usage)

    def count(self) -> bytes:
        """How many were begun."""
        return _response(json.dumps({"begun": self.begun}).encode())


def _response(content: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    return head.encode() + content


def _stream(facts: dict[str, Any], chunks: int, usage: dict[str, int]) -> list[bytes]:
    """Head, one piece a chunk, and the end; the usage comes as with `stream_options.include_usage`."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, *[{"content": _WORD}] * chunks]
    events = [facts | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    events.append(facts | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    events.append(facts | {"choices": [], "usage": usage})
    pieces = [_chunk(f"data: {json.dumps(event)}\n\n".encode()) for event in events]
    return [head, *pieces, _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"]


def _chunk(content: bytes) -> bytes:
    return f"{len(content):x}\r\n".encode() + content + b"\r\n"


class Connection(asyncio.Protocol):
    """One client; requests come one after the other, with a Content-Length."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._received = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio's."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Asyncio's: answers each request that is there as a whole."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(self._received) < end + 4 + length:
                return
            body = self._received[end + 4 : end + 4 + length]
            self._received = self._received[end + 4 + length :]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"get"):
            self._write(self._answers.count() if b"/count" in head else _response(b"{}"))
            return
        self._answers.begun += 1
        streamed = b'"stream":true' in body or b'"stream": true' in body
        if self._answers.delay_s:
            asyncio.get_running_loop().call_later(self._answers.delay_s, self._complete, streamed)
        else:
            self._complete(streamed)

    def _complete(self, streamed: bool) -> None:
        if not streamed:
            self._write(self._answers.unary)
            return
        for piece in self._answers.stream:
            self._write(piece)

    def _write(self, content: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(content)


async def serve(port: int, answers: Answers) -> None:
    """Until the process is ended."""
    server = await asyncio.get_running_loop().create_server(lambda: Connection(answers), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("--chunks", type=int, default=16)
    parser.add_argument("--delay-s", type=float, default=0.0)
    parser.add_argument("--completion-tokens", type=int, default=16)
    given = parser.parse_args()
    uvloop.run(serve(given.port, Answers(given.chunks, given.delay_s, given.completion_tokens)))
