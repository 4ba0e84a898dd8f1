"""The shim around a node, without Ray: Serve's part is played by calling it."""

import asyncio

import pytest

from deployments import replica as module
from deployments.frames import Call, Failed
from deployments.replica import NodeReplica
from deployments.wiring import Node, Nodes
from voicehelper.context import RequestContext, current_context
from voicehelper.errors import Overloaded, Unavailable
from voicehelper.ports.chat import ChatDelta, ChatMessage, ChatModel, ChatModelInfo, ChatRequest, FakeChatModel
from voicehelper.telemetry import current_trace_id

REQUEST = ChatRequest((ChatMessage("user", "?"),))
CONTEXT = RequestContext(tenant_id="t", carrier={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})


class Observing(FakeChatModel):
    """Tells the request it works for; the second half of a stream is refused."""

    async def describe(self) -> ChatModelInfo:
        return ChatModelInfo(current_context().tenant_id, 1, current_trace_id())

    async def stream(self, request):
        yield ChatDelta(current_context().tenant_id)
        raise Overloaded(retry_after=3.0)

    async def count_tokens(self, texts):
        raise Overloaded(retry_after=2.0)


CLOSED: list[str] = []


@pytest.fixture
def make(monkeypatch):
    monkeypatch.setattr(module, "configure_logging", lambda _level, _stream: None)
    monkeypatch.setattr(module, "configure_tracing", lambda _service, _endpoint: None)
    CLOSED.clear()

    async def make(model: ChatModel) -> NodeReplica:
        async def build(nodes: Nodes) -> ChatModel:
            nodes.resources.callback(CLOSED.append, "closed")
            return model

        replica = NodeReplica.__new__(NodeReplica)
        await NodeReplica.__init__(replica, Node("chat", ChatModel, build), {"home": "/srv/x"}, {})
        return replica

    return make


async def test_the_request_is_restored_around_the_call(make):
    replica = await make(Observing())
    info = await replica.unary(Call("describe", context=CONTEXT))
    assert (info.model, info.provider) == ("t", "a" * 32)
    assert current_context() == RequestContext()


async def test_expected_errors_come_back_as_values(make):
    replica = await make(Observing())
    failed = await replica.unary(Call("count_tokens", (["x"],)))
    assert isinstance(failed, Failed)
    assert failed.error.retry_after == 2.0
    items = [item async for item in replica.stream(Call("stream", (REQUEST,), context=CONTEXT))]
    assert items[0] == ChatDelta("t")
    assert isinstance(items[1], Failed)


async def test_a_bug_is_raised_for_serve_to_log(make):
    replica = await make(Observing())
    with pytest.raises(AttributeError):
        await replica.unary(Call("no_such_method"))


async def test_a_cancelled_stream_stops_the_node(make):
    model = FakeChatModel(reply="很长" * 50, delay=0.01)
    replica = await make(model)

    async def consume() -> None:
        async for _ in replica.stream(Call("stream", (REQUEST,), context=CONTEXT)):
            pass

    task = asyncio.create_task(consume())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert model.cancelled == 1


async def test_health_follows_background_tasks_and_the_end_closes(make):
    replica = await make(Observing())
    await replica.check_health()
    replica._nodes.run("loop", asyncio.sleep(0))
    await asyncio.sleep(0.01)
    with pytest.raises(Unavailable, match="loop"):
        await replica.check_health()
    await replica.__del__()
    assert CLOSED == ["closed"]
