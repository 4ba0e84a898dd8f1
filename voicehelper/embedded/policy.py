"""When to start, give up on, and restart a component: a function of (state, event, now). No clock, no process."""

from dataclasses import dataclass, replace
from enum import StrEnum


class Phase(StrEnum):
    """Where a component stands."""

    WAITING = "waiting"  # for what it needs
    STARTING = "starting"
    READY = "ready"
    BACKOFF = "backoff"  # failed; will be started again
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Limits:
    """Patience with one component, in seconds and counts."""

    start_timeout: float = 30.0
    misses: int = 3  # failed checks in a row before a running component is taken for hung
    first_delay: float = 0.2
    longest_delay: float = 5.0
    steady: float = 60.0  # ready for so long, earlier failures are forgotten


@dataclass(frozen=True, slots=True)
class State:
    """What is remembered of one component.

    Attributes:
        phase: where it stands.
        since: when it got there.
        failures: failures since it last ran steadily; the delay grows with it.
        misses: failed checks in a row.
        restarts: starts after the first one.
        reason: of the last failure, one line.
    """

    phase: Phase = Phase.WAITING
    since: float = 0.0
    failures: int = 0
    misses: int = 0
    restarts: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed; `needs_met` when everything the component needs is ready."""

    needs_met: bool


@dataclass(frozen=True, slots=True)
class Healthy:
    """A check succeeded."""


@dataclass(frozen=True, slots=True)
class Unhealthy:
    """A check failed."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The process ended, could not be started, or what carried it was restarted: no use in waiting."""

    reason: str


Event = Tick | Healthy | Unhealthy | Failed


class Effect(StrEnum):
    """What the supervisor shall do."""

    NONE = "none"
    START = "start"
    KILL = "kill"


def decide(state: State, event: Event, now: float, limits: Limits) -> tuple[State, Effect]:
    """The next state, and what to do."""
    match event:
        case Tick(needs_met):
            return _on_tick(state, needs_met, now, limits)
        case Healthy():
            return _on_healthy(state, now, limits), Effect.NONE
        case Unhealthy(reason):
            return _on_unhealthy(state, reason, now, limits)
        case Failed(reason):
            return _fail(state, reason, now), Effect.KILL


def delay(failures: int, limits: Limits) -> float:
    """Seconds between the last failure and the next start: doubling, bounded."""
    return min(limits.first_delay * 2.0 ** min(max(0, failures - 1), 16), limits.longest_delay)


def _on_tick(state: State, needs_met: bool, now: float, limits: Limits) -> tuple[State, Effect]:
    if state.phase is Phase.STARTING and now - state.since > limits.start_timeout:
        return _fail(state, state.reason or f"not ready after {limits.start_timeout:.0f} s", now), Effect.KILL
    due = state.phase is Phase.WAITING or (
        state.phase is Phase.BACKOFF and now - state.since >= delay(state.failures, limits)
    )
    if not (due and needs_met):
        return state, Effect.NONE
    restarts = state.restarts + (state.phase is Phase.BACKOFF)
    return replace(state, phase=Phase.STARTING, since=now, misses=0, restarts=restarts), Effect.START


def _on_healthy(state: State, now: float, limits: Limits) -> State:
    if state.phase is Phase.STARTING:
        return replace(state, phase=Phase.READY, since=now, misses=0, reason="")
    if state.phase is Phase.READY:
        steady = now - state.since >= limits.steady
        return replace(state, misses=0, reason="", failures=0 if steady else state.failures)
    return state


def _on_unhealthy(state: State, reason: str, now: float, limits: Limits) -> tuple[State, Effect]:
    if state.phase is Phase.STARTING:
        return replace(state, reason=reason), Effect.NONE  # still coming up
    if state.phase is not Phase.READY:
        return state, Effect.NONE
    if state.misses + 1 >= limits.misses:
        return _fail(state, reason, now), Effect.KILL
    return replace(state, misses=state.misses + 1, reason=reason), Effect.NONE


def _fail(state: State, reason: str, now: float) -> State:
    return replace(state, phase=Phase.BACKOFF, since=now, failures=state.failures + 1, misses=0, reason=reason)
