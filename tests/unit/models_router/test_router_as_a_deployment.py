"""The router in a replica of its own: who asks, how it went and what failed cross the hop."""

import pickle
from typing import Any

import pytest

from deployments import replica as module
from deployments.frames import Call, Failed
from deployments.replica import NodeReplica
from deployments.wiring import Node, Nodes
from tests.unit.models_router.router_rig import DONE, TENANT, Rig, asked
from voicehelper.context import RequestContext
from voicehelper.errors import ModelUnavailable, UnknownModel
from voicehelper.ports.chat import ChatDelta, ChatDone, ChatModel


@pytest.fixture
def ask(monkeypatch):
    monkeypatch.setattr(module, "configure_logging", lambda _level, _stream: None)
    monkeypatch.setattr(module, "configure_tracing", lambda _service, _endpoint: None)

    async def ask(rig: Rig, model: str) -> list[Any]:
        async def build(_: Nodes) -> ChatModel:
            return rig.router

        replica = NodeReplica.__new__(NodeReplica)
        node = Node("router", ChatModel, build)  # type: ignore[type-abstract]
        await NodeReplica.__init__(replica, node, {"home": "/srv/x"}, {})  # type: ignore[misc]
        call = pickle.loads(
            pickle.dumps(Call("stream", (asked(model),), context=RequestContext(str(TENANT), "user-1")))
        )
        return [pickle.loads(pickle.dumps(item)) async for item in replica.stream(call)]

    return ask


async def test_a_routed_answer_crosses(ask):
    rig = Rig()
    rig.add("m", (ModelUnavailable(),), fallbacks=("n",))
    rig.add("n", ("好", DONE))
    delta, done = await ask(rig, "m")
    assert delta == ChatDelta("好")
    assert isinstance(done, ChatDone)
    assert done.route is not None
    assert [(attempt.model, attempt.outcome) for attempt in done.route.attempts] == [("m", "50302"), ("n", "answered")]
    assert {reservation.caller.user_id for reservation in rig.budgets.reserved.values()} == {"user-1"}


async def test_a_refusal_crosses(ask):
    (failed,) = await ask(Rig(), "nobody")
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, UnknownModel)
    assert failed.error.details == {"model": "nobody"}
