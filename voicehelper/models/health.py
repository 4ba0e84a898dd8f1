"""Probing models that nobody calls: it is known before it matters that they are away, and when they are back."""

import asyncio
from collections.abc import Callable, Sequence, Set
from contextlib import aclosing
from typing import Final, Protocol
from uuid import UUID

from voicehelper.context import RequestContext, use_context
from voicehelper.errors import RateLimited, VoiceHelperError
from voicehelper.models.breaker import Phase
from voicehelper.models.breaker_events import Event, Lease, Look, Probed, View
from voicehelper.models.model import LOCAL, ModelEntry
from voicehelper.models.ports import Backends
from voicehelper.ports.chat import ChatMessage, ChatRequest
from voicehelper.ports.clock import Clock
from voicehelper.telemetry import get_logger
from voicehelper.telemetry.metrics import MODEL_CALLS

log = get_logger(__name__)

_ROUND_S: Final = 5.0
_PROBE_S: Final = 15.0
_PAID_AND_WELL: Final = 10
"""So many times as rarely are models probed that cost money and gave no reason for doubt."""

_PROBE: Final = ChatRequest((ChatMessage("user", "ping"),), max_tokens=1, feature="probe")


class Happenings(Protocol):
    """Where what happens to breakers is told (`SharedBreakers`)."""

    async def happen(self, events: Sequence[tuple[UUID, Event]]) -> Sequence[View]:
        """The views after each."""
        ...

    def troubled(self) -> Set[UUID]:
        """Models that are not simply well."""
        ...


class Prober:
    """Probes models by asking for one token; one replica at a time does, for each model.

    A call that users made says as much as a probe: only models that nobody called for `probe_s` are probed. Engines of
    this application are watched over by Ray (and may sleep); a tenant's own models are his to pay for, and are probed
    only once they failed.

    Args:
        entries: what may be probed now.
        breakers: told of the outcome, and asked who probes.
    """

    def __init__(
        self,
        entries: Callable[[], Sequence[ModelEntry]],
        backends: Backends,
        breakers: Happenings,
        clock: Clock,
        probe_s: float,
    ) -> None:
        self._entries = entries
        self._backends = backends
        self._breakers = breakers
        self._clock = clock
        self._probe_ms = int(probe_s * 1000)
        self._versions: dict[UUID, int] = {}
        self._failing: set[UUID] = set()  # as this replica found them: a change is worth a line

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.sleep(min(_ROUND_S, self._probe_ms / 1000))
            await self.round()

    async def round(self) -> None:
        """Probe what is due."""
        troubled = self._breakers.troubled()
        entries = [entry for entry in self._entries() if _watched(entry, entry.id in troubled)]
        views = await self._breakers.happen([(entry.id, Look()) for entry in entries])
        wanted = [(entry, self._idle_ms(entry, view)) for entry, view in zip(entries, views, strict=True)]
        leases = await self._breakers.happen([(entry.id, Lease(idle_ms)) for entry, idle_ms in wanted])
        due = [entry for (entry, _), lease in zip(wanted, leases, strict=True) if lease.granted]
        await asyncio.gather(*map(self._probe, due))

    def _idle_ms(self, entry: ModelEntry, view: View) -> int:
        if self._versions.setdefault(entry.id, entry.version) != entry.version:
            self._versions[entry.id] = entry.version
            return 0  # what was found out before was about another address, or key
        price = entry.price
        free = not (price.prompt or price.completion or price.per_call)
        well = view.phase is Phase.CLOSED and view.probes == 0 and not view.wait_s
        return self._probe_ms * (1 if free or not well else _PAID_AND_WELL)

    async def _probe(self, entry: ModelEntry) -> None:
        ok = await self._answers(entry)
        MODEL_CALLS.labels(entry.name if entry.tenant_id is None else "own", "probed" if ok else "probe_failed").inc()
        if ok == (entry.id in self._failing):
            self._failing ^= {entry.id}
            log.info("model.probed", model_id=str(entry.id), ok=ok)
        await self._breakers.happen([(entry.id, Probed(ok))])

    async def _answers(self, entry: ModelEntry) -> bool:
        """Whether the model says anything; one that is too busy is there."""
        with use_context(RequestContext(deadline=self._clock.now() + _PROBE_S)):
            try:
                async with asyncio.timeout(_PROBE_S):
                    async with aclosing(self._backends.chat(entry).stream(_PROBE)) as events:  # type: ignore[type-var]
                        async for _ in events:
                            pass
            except RateLimited:
                return True
            except VoiceHelperError as error:
                return error.status < 500
            except TimeoutError:
                return False
            except Exception:  # one adapter's fault must not end the probing of all others
                log.exception("model.probe_crashed", model_id=str(entry.id))
                return False
        return True


def _watched(entry: ModelEntry, troubled: bool) -> bool:
    ours = entry.provider == LOCAL or (entry.provider == "vllm" and not entry.base_url)
    return entry.kind == "chat" and not ours and (entry.tenant_id is None or troubled)
