"""Keeps a process's running experiments in step with the database."""

from voicehelper.errors import VoiceHelperError
from voicehelper.models.experiments.running import RunningExperiments
from voicehelper.models.experiments.store import ExperimentFeed
from voicehelper.ports.clock import Clock
from voicehelper.telemetry import get_logger

log = get_logger(__name__)

_RETRY_S = 1.0


class Follower:
    """Told of changes by notification, and looks by itself every `refresh_s` seconds."""

    def __init__(self, feed: ExperimentFeed, running: RunningExperiments, clock: Clock, refresh_s: float) -> None:
        self._feed = feed
        self._running = running
        self._clock = clock
        self._refresh_s = refresh_s
        self._state = ""

    async def look(self) -> None:
        """Take over what changed. Raises `Unavailable`; the experiments known so far go on."""
        state = await self._feed.state()
        if state != self._state:
            # Read after the state: what changes in between is read twice, and never missed.
            self._running.replace(await self._feed.running())
            self._state = state

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
                await self._feed.wait(self._refresh_s)
            except VoiceHelperError as error:  # the database is away; it will be back
                log.warning("experiments.not_followed", error=error.message)
                await self._clock.sleep(_RETRY_S)
