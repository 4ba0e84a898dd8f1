"""Entries of the catalogue as models: which is made when, what it sends, how it ends."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from uuid import uuid4

import pytest

from actors.chat.backends import VendorBackends
from tests.fakes import anthropic_server, openai_server
from tests.fakes.anthropic_server import Says
from tests.fakes.openai_server import Speaks
from voicehelper.context import RequestContext, use_context
from voicehelper.errors import BrokenStream, DeadlineExceeded, ModelSilent, ModelUnavailable, Overloaded
from voicehelper.models.model import LOCAL, ModelEntry, ModelLimits
from voicehelper.ports.chat import ChatDelta, ChatDone, ChatMessage, ChatModel, ChatRequest, ChatUsage, FakeChatModel

ASK = ChatRequest((ChatMessage("user", "你好"),), max_tokens=9, model="whatever-was-asked")


class Keys:
    def __init__(self, key: str = "k-1") -> None:
        self.key = key

    def key_of(self, entry: ModelEntry) -> str:
        return self.key


@asynccontextmanager
async def backends(keys: Keys | None = None, local: ChatModel | None = None) -> AsyncIterator[VendorBackends]:
    made = VendorBackends(local or FakeChatModel(), keys or Keys())
    try:
        yield made
    finally:
        await made.close()


def entry_of(provider: str, url: str = "", **fields) -> ModelEntry:
    return ModelEntry(uuid4(), "ours", provider, base_url=url, **{"remote": "remote-1"} | fields)


async def said(chat: ChatModel, request: ChatRequest = ASK) -> tuple[str, ChatDone]:
    events = [event async for event in chat.stream(request)]
    done = events[-1]
    assert isinstance(done, ChatDone)
    return "".join(event.text for event in events if isinstance(event, ChatDelta)), done


async def test_openai_wire() -> None:
    async with openai_server.openai_server(Speaks(["你", "好"])) as server, backends() as made:
        options = {"headers": {"X-Team": "a"}, "adapter": "lora-7"}
        chat = made.chat(entry_of("vllm", server.url, options=options, context_tokens=9000))
        text, done = await said(chat)
        info = await chat.describe()
    (seen,) = server.seen
    assert (text, done) == ("你好", ChatDone("stop", ChatUsage(10, 2), "lora-7"))
    assert (seen.path, seen.body["model"], seen.headers["authorization"]) == (
        "/v1/chat/completions",
        "lora-7",
        "Bearer k-1",
    )
    assert seen.headers["x-team"] == "a" and seen.headers["accept"] == "text/event-stream"
    assert (info.context_tokens, info.provider) == (9000, "vllm")


async def test_anthropic_wire() -> None:
    async with anthropic_server.anthropic_server(Says(["你", "好"])) as server, backends() as made:
        text, done = await said(made.chat(entry_of("anthropic", server.url, remote="claude-haiku-4-5")))
    (seen,) = server.seen
    assert (text, done) == ("你好", ChatDone("stop", ChatUsage(10, 2), "claude-haiku-4-5"))
    assert (seen.path, seen.headers["authorization"]) == ("/v1/messages", "Bearer k-1")


@pytest.mark.parametrize(
    ("model", "version", "sampled"),
    [("claude-haiku-4-5", "2023-06-01", True), ("claude-opus-4-7", "2026-10-21", False)],
)
async def test_sampling_goes_with_the_api_version_that_knows_it(model, version, sampled) -> None:
    async with anthropic_server.anthropic_server(Says(["好"])) as server, backends() as made:
        await said(made.chat(entry_of("anthropic", server.url, remote=model)))
    (seen,) = server.seen
    assert (seen.headers["anthropic-version"], "temperature" in seen.body) == (version, sampled)


async def test_the_instances_own_model_is_asked_by_no_name() -> None:
    local = FakeChatModel()
    async with backends(local=local) as made:
        await said(made.chat(entry_of(LOCAL)))
    assert local.requests == [replace(ASK, model="")]


async def test_connections_are_kept_and_shared() -> None:
    async with openai_server.openai_server(Speaks(["好"])) as server, backends() as made:
        for entry in (entry_of("vllm", server.url), entry_of("openai_compatible", server.url)):
            for _ in range(5):
                await said(made.chat(entry))
        assert len(server.seen) == 10 and server.connections == 1


async def test_a_changed_entry_is_made_again_and_running_streams_end_in_peace() -> None:
    go = asyncio.Event()

    async def slow(exchange: openai_server.Exchange) -> None:
        await exchange.start_stream()
        await exchange.delta(exchange.body["model"])
        await go.wait()
        await exchange.delta("!", "stop")
        await exchange.data("[DONE]")

    keys = Keys()
    async with openai_server.openai_server(slow) as server, backends(keys) as made:
        entry = entry_of("vllm", server.url)
        first = made.chat(entry)
        assert made.chat(replace(entry)) is first
        running = first.stream(ASK)
        assert await anext(running) == ChatDelta("remote-1")
        keys.key = "k-2"
        changed = made.chat(replace(entry, version=2, remote="remote-2"))
        assert changed is not first
        go.set()
        assert [event async for event in running][:1] == [ChatDelta("!")]
        assert (await said(changed))[0] == "remote-2!"
        assert [seen.headers["authorization"] for seen in server.seen] == ["Bearer k-1", "Bearer k-2"]


async def test_entries_that_cannot_work_say_so() -> None:
    async with backends(Keys("")) as made:
        for entry in (
            entry_of("openai"),
            entry_of("anthropic"),
            entry_of("vllm"),
            entry_of("vllm", "http://host:abc/v1"),
            entry_of("vllm", "not an address"),
            entry_of("nobody"),
            entry_of("vllm", "http://127.0.0.1:9/v1", options={"silence_s": "x"}),
        ):
            with pytest.raises(ModelUnavailable):
                made.chat(entry)
        with pytest.raises(ModelUnavailable):
            made.embedder(entry_of("anthropic", kind="embedding"))


async def test_parallel_calls_are_limited() -> None:
    async def endless(exchange: openai_server.Exchange) -> None:
        await exchange.start_stream()
        while True:
            await exchange.delta("再")
            await asyncio.sleep(0.01)

    async with openai_server.openai_server(endless) as server, backends() as made:
        limits = ModelLimits(parallel=1)
        chat = made.chat(entry_of("vllm", server.url, limits=limits, options={"queue": 0}))
        async with aclosing(chat.stream(ASK)) as events:  # type: ignore[type-var]
            await anext(events)
            with pytest.raises(Overloaded):
                await anext(chat.stream(ASK))
        await asyncio.wait_for(server.hung_up.wait(), 30)


async def silent(exchange) -> None:
    await exchange.start_stream()
    await asyncio.sleep(60)


async def silent_after_text(exchange) -> None:
    if isinstance(exchange, openai_server.Exchange):
        await exchange.start_stream()
        await exchange.delta("三")
    else:
        await exchange.start()
        await exchange.begin({"type": "text", "text": "三"})
    await asyncio.sleep(60)


async def no_answer(_exchange) -> None:
    await asyncio.sleep(60)


async def hangs_up(exchange) -> None:
    exchange.hang_up()


async def hangs_up_within(exchange) -> None:
    await exchange.start_stream()
    exchange.hang_up()


SERVERS = {"vllm": openai_server.openai_server, "anthropic": anthropic_server.anthropic_server}


@pytest.mark.parametrize("provider", SERVERS)
@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (silent, ModelSilent),
        (silent_after_text, ModelSilent),
        (no_answer, ModelSilent),
        (hangs_up, ModelUnavailable),
        (hangs_up_within, BrokenStream),
    ],
)
async def test_silence_and_disconnects(provider, behaviour, expected) -> None:
    async with SERVERS[provider](behaviour) as server, backends() as made:
        bearable = 0.2 if expected is ModelSilent else 20
        chat = made.chat(entry_of(provider, server.url, options={"silence_s": bearable}))
        with pytest.raises(ModelUnavailable) as caught:
            await said(chat)
    assert type(caught.value) is expected


@pytest.mark.parametrize("provider", SERVERS)
@pytest.mark.parametrize("behaviour", [silent, silent_after_text, no_answer])
async def test_the_deadline_ends_any_step(provider, behaviour) -> None:
    async with SERVERS[provider](behaviour) as server, backends() as made:
        chat = made.chat(entry_of(provider, server.url))
        started = time.monotonic()
        with use_context(RequestContext(deadline=time.time() + 0.2)), pytest.raises(DeadlineExceeded):
            await said(chat)
        assert time.monotonic() - started < 10
        await asyncio.wait_for(server.hung_up.wait(), 30)


async def test_a_deadline_that_is_over_sends_nothing() -> None:
    async with openai_server.openai_server(Speaks(["好"])) as server, backends() as made:
        with use_context(RequestContext(deadline=time.time() - 1)), pytest.raises(DeadlineExceeded):
            await said(made.chat(entry_of("vllm", server.url)))
        assert server.seen == []


async def test_a_cancellation_is_not_taken_for_the_deadline() -> None:
    async with openai_server.openai_server(silent) as server, backends() as made:
        with use_context(RequestContext(deadline=time.time() + 60)):
            task = asyncio.create_task(said(made.chat(entry_of("vllm", server.url))))
            async with asyncio.timeout(30):
                while not server.seen:  # noqa: ASYNC110 - the fake tells nobody
                    await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(server.hung_up.wait(), 30)


async def test_nobody_listens() -> None:
    async with backends() as made:
        for provider in SERVERS:
            with pytest.raises(ModelUnavailable, match="cannot be reached"):
                await said(made.chat(entry_of(provider, "http://127.0.0.1:9")))


async def test_blank_stop_words_of_anthropic() -> None:
    async def endless(exchange: anthropic_server.Exchange) -> None:
        await exchange.start(input_tokens=7)
        await exchange.begin({"type": "text", "text": ""})
        for piece in ("一", "二\n", "三", *"四" * 1000):
            await exchange.delta({"type": "text_delta", "text": piece})
            await asyncio.sleep(0.005)

    async with anthropic_server.anthropic_server(endless) as server, backends() as made:
        chat = made.chat(entry_of("anthropic", server.url))
        text, done = await said(chat, replace(ASK, stop=("\n",)))
        await asyncio.wait_for(server.hung_up.wait(), 30)
    assert (text, done.finish_reason, done.usage) == ("一二", "stop", ChatUsage(7, 2))


@pytest.mark.parametrize("provider", ["openai_compatible", "vllm"])
async def test_a_server_that_does_not_stream(provider) -> None:
    async def whole(exchange: openai_server.Exchange) -> None:
        exchange.body["stream"] = False
        await Speaks(["你", "好"])(exchange)

    async with openai_server.openai_server(whole) as server, backends() as made:
        assert (await said(made.chat(entry_of(provider, server.url))))[0] == "你好"
