import pytest

from voicehelper.errors import InvalidInput, ModelUnavailable, NotFound, Overloaded, Unavailable
from voicehelper.knowledge.follower import needs_rebuild
from voicehelper.knowledge.model import FollowerState
from voicehelper.ports.clock import FakeClock
from voicehelper.retrying import LONGEST_WAIT_S, backoff, is_transient, until_available


@pytest.mark.parametrize(
    ("reported", "head", "applied", "rebuild"),
    [
        (None, 0, 0, True),  # a new index
        (None, 50, 40, True),  # of another database, or forgotten: changes may have been pruned
        (40, 50, 40, False),
        (40, 50, 45, False),  # killed between commit and report
        (40, 50, 39, True),  # restored from an older copy
        (0, 50, 0, True),  # killed while it was rebuilt
        (40, 50, 51, True),  # ahead of the database
    ],
)
def test_when_an_index_is_rebuilt(reported: int | None, head: int, applied: int, rebuild: bool) -> None:
    assert needs_rebuild(FollowerState(reported, head), applied) is rebuild


def test_what_is_worth_another_try() -> None:
    assert all(
        is_transient(error) for error in (Unavailable(), ModelUnavailable(), Overloaded(), ConnectionResetError())
    )
    assert not any(is_transient(error) for error in (NotFound(), InvalidInput(), ValueError(), FileNotFoundError()))


def test_waits_grow_and_are_capped() -> None:
    waits = [backoff(attempt) for attempt in range(50)]
    assert waits[0] < 0.13
    assert all(0 < wait <= LONGEST_WAIT_S * 1.2 for wait in waits)
    assert waits[9] > waits[0]


async def test_until_available_outlasts_an_outage_and_lets_mistakes_through() -> None:
    clock, left = FakeClock(), 40

    async def flaky() -> str:
        nonlocal left
        left -= 1
        if left:
            raise Unavailable
        return "back"

    async def wrong() -> str:
        raise NotFound

    assert await until_available("engine", flaky, clock) == "back"
    assert clock.now() - FakeClock().now() > 60
    with pytest.raises(NotFound):
        await until_available("engine", wrong, clock)
