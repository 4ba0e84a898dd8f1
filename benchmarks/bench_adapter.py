"""CPU of one call to an OpenAI-wire server, in this process: our adapter against the official SDK as it comes.

    python -m benchmarks.bench_adapter [--pieces 100] [--calls 60]

The server is a process of its own that sends prepared bytes. CPU time is measured, so that other load counts for
little; the best of five rounds is given, and what lies between 1 piece and `--pieces` as the price of a piece.
"""

import argparse
import asyncio
import json
import multiprocessing
import time
from collections.abc import Awaitable, Callable

import openai
import uvloop

from actors.chat.openai_compatible import OpenAICompatibleChat
from voicehelper.context import RequestContext, use_context
from voicehelper.ports.chat import ChatMessage, ChatRequest

_ROUNDS = 5
_ASK = ChatRequest((ChatMessage("user", "hi"),), max_tokens=9)
_BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9, "temperature": 0.0}


class Server(asyncio.Protocol):
    """Answers every request with so many pieces as `/PIECES/v1/...` says, each in a chunk of its own."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.seen = transport, b""

    def data_received(self, data: bytes) -> None:
        self.seen += data
        head, end, body = self.seen.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        if end and len(body) >= length:
            self.seen = body[length:]
            self.answering = asyncio.ensure_future(self.answer(int(head.split(b"/")[1])))

    async def answer(self, pieces: int) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        self.transport.write(head)  # type: ignore[attr-defined]
        for number in range(pieces):
            self.send(choices=[{"index": 0, "delta": {"content": f"word{number} "}, "finish_reason": None}])
            await asyncio.sleep(0)
        self.send(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
        self.send(choices=[], usage={"prompt_tokens": 5, "completion_tokens": pieces, "total_tokens": 5 + pieces})
        self.write(b"data: [DONE]\n\n")
        self.transport.write(b"0\r\n\r\n")  # type: ignore[attr-defined]

    def send(self, **fields: object) -> None:
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"} | fields
        self.write(f"data: {json.dumps(chunk)}\n\n".encode())

    def write(self, data: bytes) -> None:
        self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))  # type: ignore[attr-defined]


def serve(port: "multiprocessing.Queue[int]") -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
        port.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(main())


async def cpu_ms(call: Callable[[], Awaitable[None]], calls: int) -> float:
    rounds = []
    await call()
    for _ in range(_ROUNDS):
        started = time.process_time()
        for _ in range(calls):
            await call()
        rounds.append((time.process_time() - started) / calls * 1000)
    return min(rounds)


async def ours(url: str, calls: int) -> float:
    chat = OpenAICompatibleChat(url, "k", model="m")

    async def call() -> None:
        with use_context(RequestContext(deadline=time.time() + 60)):
            async for _ in chat.stream(_ASK):
                pass

    try:
        return await cpu_ms(call, calls)
    finally:
        await chat.close()


def sdk(on_aiohttp: bool) -> Callable[[str, int], Awaitable[float]]:
    async def measured(url: str, calls: int) -> float:
        http = openai.DefaultAioHttpClient() if on_aiohttp else None
        async with openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0, http_client=http) as client:

            async def call() -> None:
                options = {"stream": True, "stream_options": {"include_usage": True}}
                async for _ in await client.chat.completions.create(**_BODY, **options):  # type: ignore[call-overload]
                    pass

            return await cpu_ms(call, calls)

    return measured


async def main(port: int, pieces: int, calls: int) -> None:
    ways = {"our adapter": ours, "the SDK as it comes": sdk(False), "the SDK on aiohttp": sdk(True)}
    for name, way in ways.items():
        one = await way(f"http://127.0.0.1:{port}/1/v1", calls)
        many = await way(f"http://127.0.0.1:{port}/{pieces}/v1", max(1, calls // 3))
        each = (many - one) / (pieces - 1) * 1000
        print(f"{name:20} {one:6.2f} ms a call of 1 piece, {many:6.2f} ms of {pieces}, {each:6.1f} us a piece")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pieces", type=int, default=100)
    parser.add_argument("--calls", type=int, default=60)
    arguments = parser.parse_args()
    where: "multiprocessing.Queue[int]" = multiprocessing.get_context("fork").Queue()
    server = multiprocessing.get_context("fork").Process(target=serve, args=(where,), daemon=True)
    server.start()
    uvloop.run(main(where.get(), arguments.pieces, arguments.calls))
    server.terminate()
