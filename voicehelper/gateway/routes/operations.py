"""Alive, ready, measured."""

import asyncio
import time
from typing import Literal

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from voicehelper import __version__
from voicehelper.errors import Unavailable
from voicehelper.gateway.params import Wired
from voicehelper.gateway.services import Probe
from voicehelper.telemetry import get_logger, metrics
from voicehelper.wire.operations import EngineView, HealthView, ReadyView

log = get_logger(__name__)
router = APIRouter(tags=["operations"])

_PROBE_S = 2.0


@router.get("/health", summary="Is this process alive?")
async def health() -> HealthView:
    """Asks nobody else, so that a restart is never caused by an engine that is away."""
    return HealthView(status="ok", version=__version__)


@router.get("/ready", summary="Are all engines there?")
async def ready(services: Wired) -> ReadyView:
    """503 when a required engine is away, with all of them in `details`; `degraded` when only an optional one is."""
    engines = dict(zip([p.name for p in services.probes], await _ask_all(services.probes), strict=True))
    missing = [probe.name for probe in services.probes if probe.required and engines[probe.name].status == "missing"]
    if missing:
        shown = {name: engine.model_dump() for name, engine in engines.items()}
        raise Unavailable("Not ready", {"missing": missing, "engines": shown}, retry_after=2)
    whole = all(engine.status == "ok" for engine in engines.values())
    return ReadyView(status="ready" if whole else "degraded", engines=engines)


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
async def prometheus() -> Response:
    """Text format; of every process of this machine where they share a metrics folder."""
    return Response(await asyncio.to_thread(metrics.render), media_type=CONTENT_TYPE_LATEST)


async def _ask_all(probes: tuple[Probe, ...]) -> list[EngineView]:
    return await asyncio.gather(*(_ask(probe) for probe in probes))


async def _ask(probe: Probe) -> EngineView:
    started = time.perf_counter()
    status: Literal["ok", "missing"] = "ok"
    detail = ""
    try:
        async with asyncio.timeout(_PROBE_S):
            found = await probe.check()
        detail = found if isinstance(found, str) else ""
    except Exception as error:  # noqa: BLE001 - whatever a probe raises means that its engine is away
        log.warning("probe.failed", engine=probe.name, error=str(error) or type(error).__name__)
        status = "missing"
    return EngineView(
        status=status, required=probe.required, detail=detail, ms=round((time.perf_counter() - started) * 1000, 1)
    )
