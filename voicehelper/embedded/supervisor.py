"""Keeps an instance's components running, from one background process.

Who dies with whom: every process the supervisor starts asks the kernel to end it when the supervisor dies
(`launch.py`), and Ray does the same for its own (fate sharing), so `kill -9` of the supervisor ends the whole instance
in an orderly way and leaves nothing running; the next `voicehelper up` starts afresh from the data. Whatever may
survive even that (a process in uninterruptible sleep) carries the instance's mark in its environment, and `sweep` ends
it before the next start. A component that dies or hangs is restarted here, as `policy.decide` says.
"""

import asyncio
import json
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from voicehelper.embedded.component import Component
from voicehelper.embedded.instance import MARK
from voicehelper.embedded.logs import bound, tail
from voicehelper.embedded.policy import Effect, Event, Failed, Healthy, Phase, State, Tick, Unhealthy, decide
from voicehelper.embedded.process import EngineBroken, kill_group, write_private
from voicehelper.errors import VoiceHelperError
from voicehelper.ports.clock import Clock
from voicehelper.telemetry import get_logger

log = get_logger("supervisor")

_TICK_S = 0.1
_RETRY_S = 0.5
_LOG_CHECK_S = 10.0


@dataclass
class Watch:
    """One component and what we know of it."""

    component: Component
    state: State
    process: subprocess.Popen[bytes] | None = None
    version: str = ""
    ready_ms: float | None = None
    next_check: float = 0.0
    starting: asyncio.Task[subprocess.Popen[bytes] | None] | None = None
    checking: asyncio.Task[str] | None = None
    seen: dict[str, int] = field(default_factory=dict)


class Supervisor:
    """Runs the components until told to stop, and writes what it sees to a status file."""

    def __init__(self, components: Sequence[Component], status_file: Path, logs: Path, clock: Clock) -> None:
        self._watches = {c.name: Watch(c, State(since=clock.now())) for c in components}
        self._status_file = status_file
        self._logs = logs
        self._clock = clock
        self._started = clock.now()
        self._published = ""
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Start everything and keep it running; returns after `stop`, when all has ended."""
        next_log_check = 0.0
        try:
            while not self._stopping.is_set():
                for watch in self._watches.values():
                    self._step(watch)
                self._publish()
                if self._clock.now() >= next_log_check:
                    next_log_check = self._clock.now() + _LOG_CHECK_S
                    bound(self._logs)
                await self._clock.sleep(_TICK_S)
        finally:
            await self._shut_down()

    def stop(self) -> None:
        """Ask `run` to end."""
        self._stopping.set()

    def _step(self, watch: Watch) -> None:
        """Look at one component once; never waits."""
        for event in self._events(watch):
            before = watch.state
            watch.state, effect = decide(before, event, self._clock.now(), watch.component.limits)
            self._report(watch, before)
            if effect is Effect.START:
                self._start(watch)
            elif effect is Effect.KILL:
                self._kill(watch)

    def _events(self, watch: Watch) -> list[Event]:
        events: list[Event] = []
        if watch.starting is not None and watch.starting.done():
            events += self._started_or_failed(watch, watch.starting)
        elif watch.process is not None and watch.process.poll() is not None:
            events.append(Failed(self._ending(watch, watch.process.returncode)))
        elif self._carrier_lost(watch):
            events.append(Failed("what it runs on was restarted"))
        elif watch.checking is not None and watch.checking.done():
            events.append(self._checked(watch, watch.checking))
        self._maybe_check(watch)
        return [*events, Tick(self._needs_met(watch))]

    def _started_or_failed(self, watch: Watch, task: asyncio.Task[subprocess.Popen[bytes] | None]) -> list[Event]:
        watch.starting = None
        error = task.exception()
        if error is None:
            watch.process = task.result()
            return []
        return [Failed(_one_line(error))]

    def _checked(self, watch: Watch, task: asyncio.Task[str]) -> Event:
        watch.checking = None
        now = self._clock.now()
        error = task.exception()
        if error is not None:
            watch.next_check = now + (_TICK_S if watch.state.phase is Phase.STARTING else _RETRY_S)
            return Failed(_one_line(error)) if isinstance(error, EngineBroken) else Unhealthy(_one_line(error))
        watch.version = task.result()
        watch.next_check = now + watch.component.check_every
        if watch.state.phase is Phase.STARTING:
            watch.ready_ms = (now - watch.state.since) * 1000
        return Healthy()

    def _maybe_check(self, watch: Watch) -> None:
        idle = watch.starting is None and watch.checking is None
        running = watch.state.phase in (Phase.STARTING, Phase.READY)
        if idle and running and self._clock.now() >= watch.next_check:
            watch.checking = asyncio.create_task(watch.component.check())

    def _needs_met(self, watch: Watch) -> bool:
        return all(self._watches[name].state.phase is Phase.READY for name in watch.component.needs)

    def _carrier_lost(self, watch: Watch) -> bool:
        if watch.state.phase not in (Phase.STARTING, Phase.READY):
            return False
        carriers = [(self._watches[name].state, watch.seen.get(name)) for name in watch.component.follows]
        return any(state.phase is not Phase.READY or state.restarts != seen for state, seen in carriers)

    def _start(self, watch: Watch) -> None:
        watch.seen = {name: self._watches[name].state.restarts for name in watch.component.follows}
        watch.next_check = 0.0
        watch.starting = asyncio.create_task(watch.component.start())

    def _kill(self, watch: Watch) -> None:
        if watch.checking is not None:
            watch.checking.cancel()
        if watch.starting is not None and not watch.starting.cancel() and watch.starting.exception() is None:
            watch.process = watch.starting.result()
        watch.starting = watch.checking = None
        if watch.process is not None:
            kill_group(watch.process)
            watch.process = None

    def _ending(self, watch: Watch, status: int) -> str:
        """How a process ended, with its own last words if it had a say."""
        if status < 0:
            return f"killed by signal {-status}"
        last = tail(self._logs / f"{watch.component.name}.log", 1)
        return f"ended with status {status}: {' '.join(last)[:300]}"

    def _report(self, watch: Watch, before: State) -> None:
        after = watch.state
        if after.phase is before.phase:
            return
        if after.phase is Phase.BACKOFF:
            log.warning("component.failed", name=watch.component.name, reason=after.reason, failures=after.failures)
        else:
            log.info(f"component.{after.phase}", name=watch.component.name, version=watch.version)

    def _publish(self, stopping: bool = False) -> None:
        """Write the status file if anything changed."""
        record = {
            "started": self._started,
            "stopping": stopping,
            "components": [_describe(watch) for watch in self._watches.values()],
        }
        text = json.dumps(record)
        if text != self._published:
            write_private(self._status_file, text)
            self._published = text

    async def _shut_down(self) -> None:
        """Stop in the reverse order of need."""
        self._publish(stopping=True)
        for watch in reversed(self._watches.values()):
            if watch.checking is not None:
                watch.checking.cancel()
            if watch.starting is not None:
                await asyncio.wait([watch.starting])
                watch.process = watch.process or (None if watch.starting.exception() else watch.starting.result())
            await watch.component.stop(watch.process)
            watch.state = State(Phase.STOPPED, self._clock.now())
            watch.process = None
            log.info("component.stopped", name=watch.component.name)
            self._publish(stopping=True)


def sweep(home: Path, patience: float = 10.0) -> int:
    """End every other process that carries the mark of the instance at `home`; returns how many there were.

    Nothing but our own processes ever carries it, so no pid has to be remembered or trusted.
    """
    own = {psutil.Process().pid, *(p.pid for p in psutil.Process().parents())}
    found = [p for p in psutil.process_iter() if p.pid not in own and _carries_mark(p, home)]
    for process in found:
        _quietly(process.terminate)
    _, alive = psutil.wait_procs(found, timeout=patience)
    for process in alive:
        _quietly(process.kill)
    psutil.wait_procs(alive, timeout=5)
    return len(found)


def _carries_mark(process: psutil.Process, home: Path) -> bool:
    try:
        return process.environ().get(MARK) == str(home)
    except (psutil.Error, OSError):
        return False


def _quietly(action: Callable[[], None]) -> None:
    with suppress(psutil.NoSuchProcess):
        action()


def _describe(watch: Watch) -> dict[str, object]:
    return {
        "name": watch.component.name,
        "managed": watch.component.managed,
        "state": str(watch.state.phase),
        "since": watch.state.since,
        "version": watch.version,
        "port": watch.component.port,
        "pid": watch.process.pid if watch.process else None,
        "ready_ms": watch.ready_ms,
        "restarts": watch.state.restarts,
        "failures": watch.state.failures,
        "reason": watch.state.reason,
    }


def _one_line(error: BaseException) -> str:
    if not isinstance(error, VoiceHelperError):
        log.error("component.unexpected_error", exc_info=error)
    return (str(error) or type(error).__name__).splitlines()[0]
