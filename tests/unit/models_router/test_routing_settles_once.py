"""Whatever happens, and whenever the caller leaves: every reservation is settled once, every model stopped."""

import asyncio
from contextlib import aclosing, suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.virtual_time import VirtualTimeLoop
from tests.unit.models_router.router_rig import DONE, TENANT, FakeBudgets, Rig, Step, asked
from voicehelper.config import ModelSettings
from voicehelper.context import RequestContext, use_context
from voicehelper.errors import (
    BrokenStream,
    ContextTooLong,
    DeadlineExceeded,
    InvalidInput,
    ModelUnavailable,
    Overloaded,
    VoiceHelperError,
)
from voicehelper.ports.chat import ChatDelta, ChatDone, ChatProgress, ChatToolDelta

_ERRORS = (
    ModelUnavailable(),
    Overloaded(retry_after=0.5),
    Overloaded(retry_after=50.0),
    BrokenStream(),
    ContextTooLong(),
    InvalidInput(),
    DeadlineExceeded(),
    ZeroDivisionError(),
)
_STEPS: st.SearchStrategy[Step] = st.one_of(
    st.sampled_from(["a", "bc", "春眠", "春眠不觉晓"]),
    st.sampled_from([0.1, 0.3, 3.0]),
    st.sampled_from(_ERRORS),
    st.just(ChatProgress()),
    st.just(ChatToolDelta(0, "1", "f", "{")),
    st.just(DONE),
)
_SCRIPTS = st.lists(st.lists(_STEPS, max_size=6), min_size=1, max_size=3)


async def _one_request(rig: Rig, leave_at: float | None, close_after: int | None, deadline: float | None) -> None:
    """A caller who leaves by cancellation at some time, or by closing the stream after some events."""

    async def listen() -> None:
        until = None if deadline is None else asyncio.get_running_loop().time() + deadline
        with use_context(RequestContext(str(TENANT), deadline=until)):
            async with aclosing(rig.router.stream(asked("m"))) as events:
                seen: list[object] = []
                async for event in events:
                    assert not any(isinstance(before, ChatDone) for before in seen)
                    assert not isinstance(event, ChatDelta) or event.text
                    seen.append(event)
                    if close_after is not None and len(seen) > close_after:
                        return
                assert isinstance(seen[-1], ChatDone)

    task = asyncio.create_task(listen())
    if leave_at is not None:
        asyncio.get_running_loop().call_later(leave_at, task.cancel)
    with suppress(asyncio.CancelledError, VoiceHelperError, ZeroDivisionError):
        await task


def _check(rig: Rig) -> None:
    rig.budgets.check()
    assert [name for name, model in rig.models.items() if model.open] == []
    assert rig.budgets.left is None or rig.budgets.left + rig.budgets.spent == 10**9
    assert len(asyncio.all_tasks()) == 1


@settings(max_examples=400, deadline=None)
@given(
    scripts=st.tuples(_SCRIPTS, _SCRIPTS, _SCRIPTS),
    leave_at=st.none() | st.floats(0.0, 8.0),
    close_after=st.none() | st.integers(0, 4),
    deadline=st.none() | st.sampled_from([0.0, 1.0, 20.0]),
    hedge=st.booleans(),
    slow_purse=st.booleans(),
    soft_from=st.none() | st.sampled_from([0, 250]),
)
def test_every_reservation_is_settled_once(
    scripts, leave_at, close_after, deadline, hedge, slow_purse, soft_from
) -> None:
    async def main() -> None:
        rig = Rig(settings=ModelSettings(hedge=hedge))
        rig.budgets = FakeBudgets(10**9, soft_from, 0.05 if slow_purse else 0.0)
        for name, script in zip("mnp", scripts, strict=True):
            made = rig.add(name, *script, fallbacks=("n", "p"))
            rig.latencies.p95[made.id] = 200.0
        await _one_request(rig, leave_at, close_after, deadline)
        _check(rig)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())


def test_at_every_moment_of_a_long_story() -> None:
    """Left at each tenth of a second of: a slow failure, a hedge, a break, a continuation."""

    async def main() -> None:
        for tenth in range(80):
            for hedge in (False, True):
                rig = Rig(settings=ModelSettings(hedge=hedge))
                rig.budgets = FakeBudgets(10**9, None, 0.05)
                m = rig.add("m", (1.0, ModelUnavailable()), fallbacks=("n", "p"))
                n = rig.add("n", (0.5, "春眠", 0.5, "不觉", 0.5, BrokenStream()))
                rig.add("p", (0.7, "春眠不觉晓", 0.7, "，", 0.7, DONE))
                rig.latencies.p95 = {m.id: 300.0, n.id: 300.0}
                await _one_request(rig, tenth / 10 + 0.01, None, 60.0)
                _check(rig)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())
