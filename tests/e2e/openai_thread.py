"""The scripted language model of tests/fakes, served from a thread of the test process."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.fakes.openai_server import openai_server

Reply = Callable[[list[dict[str, str]]], str]


class ScriptedModel:
    """Answers what `reply` says for the messages, in pieces of `piece` characters, `delay` seconds apart."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[list[dict[str, str]]] = []
        self.left = threading.Event()
        self.reset()

    def reset(self, reply: Reply | str = "好的。", delay: float = 0.0, piece: int = 2) -> None:
        """Set what is answered from now on, and forget what was asked."""
        self._reply, self._delay, self._piece = reply, delay, piece
        self.requests.clear()
        self.left.clear()

    async def behave(self, exchange: Any) -> None:
        """One request."""
        messages = exchange.body["messages"]
        self.requests.append(messages)
        text = self._reply(messages) if callable(self._reply) else self._reply
        await exchange.start_stream()
        try:
            for start in range(0, len(text), self._piece):
                await exchange.delta(text[start : start + self._piece])
                await asyncio.sleep(self._delay)
            await exchange.delta(None, "stop")
            await exchange.usage(sum(len(message["content"]) for message in messages), len(text))
            await exchange.data("[DONE]")
        except ConnectionError:
            self.left.set()
            raise


@contextmanager
def scripted_model() -> Iterator[ScriptedModel]:
    """The model on a free loopback port for the length of the block."""
    model, started, stop = ScriptedModel(), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with openai_server(model.behave) as server:
            model.url = server.url
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield model
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
