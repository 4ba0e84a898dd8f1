"""The adapter against a handle that behaves as Serve's does, without Ray."""

import asyncio
import pickle
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Protocol

import numpy as np
import pytest
from ray.exceptions import ActorDiedError, RayTaskError
from ray.serve.exceptions import BackPressureError

from deployments.frames import Call, Failed
from deployments.remote import port_methods, remote
from voicehelper import errors
from voicehelper.context import RequestContext, current_context, use_context
from voicehelper.errors import DeadlineExceeded, InvalidInput, ModelUnavailable, NotFound, Overloaded, Unavailable
from voicehelper.ports.chat import ChatDelta, ChatDone, ChatMessage, ChatModel, ChatRequest, FakeChatModel
from voicehelper.ports.embedder import Embedder, FakeEmbedder
from voicehelper.retrieval.model import Retriever

REQUEST = ChatRequest((ChatMessage("user", "退款多久到账？"),))


class FakeResponse:
    """Awaitable and iterable as Serve's responses are; remembers being cancelled."""

    def __init__(self, work):
        self._work = work
        self.cancelled = False

    def __await__(self):
        return self._work.__await__()

    async def __anext__(self):
        return await anext(self._work)

    def cancel(self):
        self.cancelled = True


class FakeHandle:
    """A deployment whose methods are `node`'s, reached with pickled arguments; `raises` is raised by the next calls."""

    deployment_name = "node"

    def __init__(self, node: Any = None, raises: list[BaseException] | None = None):
        self.node = node
        self.raises = raises if raises is not None else []
        self.calls: list[Call] = []
        self.responses: list[FakeResponse] = []
        self._stream = False

    def options(self, *, method_name, stream=False):
        copy = FakeHandle(self.node, self.raises)
        copy.calls, copy.responses, copy._stream = self.calls, self.responses, stream
        return copy

    def remote(self, call: Call) -> FakeResponse:
        call = pickle.loads(pickle.dumps(call))
        self.calls.append(call)
        self.responses.append(FakeResponse(self._iterate(call) if self._stream else self._once(call)))
        return self.responses[-1]

    async def _once(self, call: Call):
        if self.raises:
            raise self.raises.pop(0)
        try:
            return await getattr(self.node, call.method)(*call.args, **call.kwargs)
        except errors.VoiceHelperError as error:
            return pickle.loads(pickle.dumps(Failed(error)))

    async def _iterate(self, call: Call):
        if self.raises:
            raise self.raises.pop(0)
        async for item in getattr(self.node, call.method)(*call.args, **call.kwargs):
            yield pickle.loads(pickle.dumps(item))


def _died() -> ActorDiedError:
    return ActorDiedError()


def _all_errors(base: type[errors.VoiceHelperError] = errors.VoiceHelperError):
    yield base
    for sub in base.__subclasses__():
        yield from _all_errors(sub)


def test_knows_unary_methods_from_streams():
    assert port_methods(ChatModel) == {"describe": "unary", "stream": "stream", "count_tokens": "unary"}
    assert port_methods(Retriever) == {"retrieve": "unary"}


def test_refuses_a_port_that_cannot_cross_processes():
    class Blocking(Protocol):
        def now(self) -> float: ...

    with pytest.raises(TypeError, match="now"):
        remote(Blocking, FakeHandle())


async def test_unary_and_streaming_calls_reach_the_node():
    embedder = remote(Embedder, FakeHandle(FakeEmbedder()))
    vectors = await embedder.embed(["a", "退款"], kind="query")
    assert vectors.shape == (2, 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)

    chat = remote(ChatModel, FakeHandle(FakeChatModel(reply="三天内到账。")))
    events = [event async for event in chat.stream(REQUEST)]
    assert "".join(event.text for event in events if isinstance(event, ChatDelta)) == "三天内到账。"
    assert isinstance(events[-1], ChatDone)


async def test_constant_methods_are_asked_once():
    handle = FakeHandle(FakeEmbedder())
    embedder = remote(Embedder, handle, constant=frozenset({"describe"}))
    assert await embedder.describe() == await embedder.describe()
    assert len(handle.calls) == 1


async def test_the_request_travels_along():
    handle = FakeHandle(FakeEmbedder())
    deadline = time.time() + 5
    with use_context(RequestContext(tenant_id="t", user_id="u", trace_id="1" * 32, deadline=deadline)):
        await remote(Embedder, handle).count_tokens(["a"])
    sent = handle.calls[0].context
    assert (sent.tenant_id, sent.user_id, sent.trace_id, sent.deadline) == ("t", "u", "1" * 32, deadline)
    assert current_context() == RequestContext()


@pytest.mark.parametrize("kind", list(_all_errors()), ids=lambda kind: kind.__name__)
async def test_every_error_arrives_as_itself(kind):
    class Failing(FakeEmbedder):
        async def describe(self):
            raise kind("为什么", {"field": "x"}, 2.5)

    with pytest.raises(kind) as raised:
        await remote(Embedder, FakeHandle(Failing())).describe()
    assert type(raised.value) is kind
    assert (raised.value.message, raised.value.details, raised.value.retry_after) == ("为什么", {"field": "x"}, 2.5)


async def test_an_error_within_a_stream_follows_what_came_before():
    class Breaking(FakeChatModel):
        async def stream(self, request):
            yield ChatDelta("前")
            yield Failed(NotFound("没有"))

    stream = remote(ChatModel, FakeHandle(Breaking())).stream(REQUEST)
    assert await anext(stream) == ChatDelta("前")
    with pytest.raises(NotFound, match="没有"):
        await anext(stream)


async def test_what_ray_wraps_is_unwrapped():
    wrapped = RayTaskError("embed", "traceback", InvalidInput("zu lang")).as_instanceof_cause()
    with pytest.raises(InvalidInput) as raised:
        await remote(Embedder, FakeHandle(raises=[wrapped])).describe()
    assert type(raised.value) is InvalidInput


async def test_a_full_queue_is_overloaded_with_a_time_to_retry():
    handle = FakeHandle(raises=[BackPressureError(3, 3, 429, 2.0), BackPressureError(3, 3)])
    for expected in (2.0, 1.0):
        with pytest.raises(Overloaded) as raised:
            await remote(Embedder, handle).describe()
        assert raised.value.retry_after == expected


async def test_a_call_whose_replica_died_is_made_again_once():
    handle = FakeHandle(FakeEmbedder(), raises=[_died()])
    assert (await remote(Embedder, handle).describe()).dimensions == 384
    assert len(handle.calls) == 2

    handle = FakeHandle(FakeEmbedder(), raises=[_died(), _died()])
    with pytest.raises(ModelUnavailable) as raised:
        await remote(Embedder, handle, unavailable=ModelUnavailable).describe()
    assert raised.value.details == {"node": "node"}


async def test_a_stream_whose_replica_died_is_unavailable():
    with pytest.raises(Unavailable):
        await anext(remote(ChatModel, FakeHandle(raises=[_died()])).stream(REQUEST))


async def test_closing_the_generator_cancels_the_call():
    handle = FakeHandle(FakeChatModel(reply="很长的回答" * 10))
    stream = remote(ChatModel, handle).stream(REQUEST)
    assert isinstance(stream, AsyncGenerator)
    await anext(stream)
    await stream.aclose()
    assert handle.responses[0].cancelled


@pytest.mark.parametrize("method", ["describe", "stream"])
async def test_cancelling_the_task_cancels_the_call(method):
    class Hanging(FakeChatModel):
        async def describe(self):
            await asyncio.Event().wait()

        async def stream(self, request) -> AsyncIterator[ChatDelta]:
            await asyncio.Event().wait()
            yield ChatDelta("nie")

    handle = FakeHandle(Hanging())
    chat = remote(ChatModel, handle)
    task = asyncio.create_task(chat.describe() if method == "describe" else anext(chat.stream(REQUEST)))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert handle.responses[0].cancelled


async def test_a_call_cancelled_by_the_other_side_is_unavailable_not_cancelled():
    handle = FakeHandle(raises=[asyncio.CancelledError(), asyncio.CancelledError()])
    with pytest.raises(Unavailable):
        await remote(Embedder, handle).describe()


async def test_nobody_waits_beyond_the_deadline():
    class Slow(FakeEmbedder):
        async def describe(self):
            await asyncio.sleep(60)

    handle = FakeHandle(Slow())
    with use_context(RequestContext(deadline=time.time() + 0.02)), pytest.raises(DeadlineExceeded):
        await remote(Embedder, handle).describe()
    assert handle.responses[0].cancelled


async def test_a_timeout_of_the_node_is_not_ours():
    with pytest.raises(TimeoutError, match="theirs"):
        await remote(Embedder, FakeHandle(raises=[TimeoutError("theirs")])).describe()
