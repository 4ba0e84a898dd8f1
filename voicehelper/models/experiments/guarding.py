"""Stops variants that break a guard rail, while nobody watches."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from voicehelper.errors import VoiceHelperError
from voicehelper.models.experiments.guard import Figures, Verdict
from voicehelper.models.experiments.model import Experiment
from voicehelper.ports.clock import Clock
from voicehelper.telemetry import get_logger

log = get_logger(__name__)

EVERY_S = 15.0

Judge = Callable[[Experiment, Mapping[str, Figures]], Sequence[Verdict]]


class GuardRounds(Protocol):
    """Where figures lie and verdicts are carried out."""

    async def round(self, judge: Judge) -> int:
        """Ask `judge` about every running experiment with guard rails and stop what it says, with an entry in the audit
        log and an event; returns how many variants. Does nothing where another process is at it, or was within
        the present `EVERY_S` seconds. Raises `Unavailable`."""
        ...

    async def prune(self) -> None:
        """Forget what nobody needs any more."""
        ...


class Guardian:
    """Any number of processes may run one."""

    def __init__(self, rounds: GuardRounds, judge: Judge, clock: Clock, every_s: float = EVERY_S) -> None:
        self._rounds = rounds
        self._judge = judge
        self._clock = clock
        self._every_s = every_s

    async def run(self) -> None:
        """Until cancelled."""
        pruned_at = 0.0
        while True:
            await self._clock.sleep(self._every_s)
            try:
                await self._rounds.round(self._judge)
                if self._clock.now() - pruned_at > 3600:
                    await self._rounds.prune()
                    pruned_at = self._clock.now()
            except VoiceHelperError as error:  # the database is away; it will be back
                log.warning("experiments.not_guarded", error=error.message)
