"""The supervisor's decisions, in virtual time."""

from hypothesis import given
from hypothesis import strategies as st

from voicehelper.embedded.policy import (
    Effect,
    Event,
    Failed,
    Healthy,
    Limits,
    Phase,
    State,
    Tick,
    Unhealthy,
    decide,
    delay,
)
from voicehelper.ports.clock import FakeClock

LIMITS = Limits(start_timeout=30, misses=3, first_delay=0.2, longest_delay=5, steady=60)


class Story:
    """Applies events to a state and remembers the effects."""

    def __init__(self, state: State | None = None) -> None:
        self.clock = FakeClock(1000.0)
        self.state = state or State(since=1000.0)
        self.effects: list[Effect] = []

    def tell(self, *events: Event, after: float = 0.0) -> "Story":
        self.clock.time += after
        for event in events:
            self.state, effect = decide(self.state, event, self.clock.now(), LIMITS)
            if effect is not Effect.NONE:
                self.effects.append(effect)
        return self


def test_waits_for_its_needs_then_starts_and_becomes_ready() -> None:
    story = Story().tell(Tick(False), Tick(False))
    assert (story.state.phase, story.effects) == (Phase.WAITING, [])
    story.tell(Tick(True)).tell(Unhealthy("not yet"), after=1).tell(Healthy(), after=1)
    assert (story.state.phase, story.effects) == (Phase.READY, [Effect.START])
    assert (story.state.since, story.state.reason, story.state.restarts) == (1002.0, "", 0)


def test_a_dead_process_is_started_again_after_a_short_delay() -> None:
    story = Story().tell(Tick(True), Healthy()).tell(Failed("killed by signal 9"), Tick(True), after=10)
    assert (story.state.phase, story.state.reason) == (Phase.BACKOFF, "killed by signal 9")
    story.tell(Tick(True), after=0.1)
    assert story.state.phase is Phase.BACKOFF
    story.tell(Tick(True), after=0.1)
    assert (story.state.phase, story.state.restarts) == (Phase.STARTING, 1)
    assert story.effects == [Effect.START, Effect.KILL, Effect.START]


def test_a_hung_process_is_killed_after_three_missed_checks() -> None:
    story = Story().tell(Tick(True), Healthy(), Unhealthy("hung"), Unhealthy("hung"))
    assert story.state.phase is Phase.READY
    assert story.tell(Unhealthy("hung")).effects[-1] is Effect.KILL
    assert (story.state.phase, story.state.failures) == (Phase.BACKOFF, 1)


def test_one_missed_check_is_forgiven() -> None:
    story = Story().tell(Tick(True), Healthy())
    for _ in range(10):
        story.tell(Unhealthy("slow"), Unhealthy("slow"), Healthy())
    assert (story.state.phase, story.effects) == (Phase.READY, [Effect.START])


def test_a_start_that_takes_too_long_is_ended_and_says_why() -> None:
    story = Story().tell(Tick(True)).tell(Unhealthy("replaying the log"), after=29).tell(Tick(True), after=2)
    assert (story.state.phase, story.state.reason) == (Phase.BACKOFF, "replaying the log")
    assert story.effects == [Effect.START, Effect.KILL]


def test_delays_double_up_to_the_longest_and_steady_running_forgets() -> None:
    assert [delay(n, LIMITS) for n in range(1, 8)] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    story = Story(State(Phase.READY, since=1000.0, failures=6))
    assert story.tell(Healthy(), after=59).state.failures == 6
    assert story.tell(Healthy(), after=1).state.failures == 0


def test_nothing_is_started_while_a_need_is_down() -> None:
    story = Story().tell(Tick(True), Healthy(), Failed("gone")).tell(Tick(False), after=100)
    assert (story.state.phase, story.effects[-1]) == (Phase.BACKOFF, Effect.KILL)


@given(
    st.lists(
        st.tuples(st.sampled_from([Tick(True), Tick(False), Healthy(), Unhealthy("x"), Failed("y")]), st.floats(0, 40)),
        max_size=60,
    )
)
def test_never_started_twice_without_an_end_between(history: list[tuple[Event, float]]) -> None:
    story = Story()
    for event, pause in history:
        story.tell(event, after=pause)
    running = 0
    for effect in story.effects:
        running = running + 1 if effect is Effect.START else 0
        assert running <= 1
