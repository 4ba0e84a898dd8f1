"""Serve options of each deployment: the local default, changed per deployment by `settings.nodes`.

CPUs are fractions: on one machine the models' threads, not Ray's bookkeeping, share the cores, and an indexing job must
still find room beside the application. A cluster gives real numbers (see kuberay/).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from voicehelper.config import NodeOptions, Settings

GATEWAY = "gateway"
_RETRY_AFTER_S = 1.0


@dataclass(frozen=True)
class Load:
    """How much one deployment takes on.

    Attributes:
        ongoing: requests one replica works on at the same time; a stream counts until its last byte.
        queued: requests each caller lets wait beyond that; the next is refused (429, `Overloaded`).
        cpus: what Ray reserves for one replica.
        margin: let in beyond `ongoing`, for a replica that refuses by itself and says so in our own words.
    """

    ongoing: int
    queued: int
    cpus: float = 0.1
    margin: int = 0


def _chat(settings: Settings) -> Load:
    # The model admits that many streams itself, and must have room for its short calls (token counts) meanwhile.
    return Load(ongoing=settings.chat.parallel + settings.chat.queue, queued=32, margin=32)


def _stt(settings: Settings) -> Load:
    return Load(ongoing=settings.stt.max_batch + settings.stt.queue, queued=32, margin=32)


def _tts(settings: Settings) -> Load:
    # Likewise: so many clauses, and room for those it refuses itself.
    return Load(ongoing=settings.tts.parallel + settings.tts.queue, queued=32, margin=32)


LOADS: dict[str, Callable[[Settings], Load]] = {
    # Queued is what the proxy holds while it finds a replica. A burst (every client again at once, after an outage)
    # must fit: what does not is refused as plain text, not in our words.
    GATEWAY: lambda _: Load(ongoing=256, queued=1024, cpus=0.2, margin=64),
    "router": lambda _: Load(ongoing=512, queued=512, cpus=0.05),
    "rag": lambda _: Load(ongoing=128, queued=64),
    "retrieval": lambda _: Load(ongoing=64, queued=128),
    "embedder": lambda _: Load(ongoing=64, queued=128),
    "chat": _chat,
    "stt": _stt,
    "tts": _tts,
    "indexer": lambda _: Load(ongoing=4, queued=4),
}


def serve_options(name: str, settings: Settings) -> dict[str, Any]:
    """Arguments of `serve.deployment` for the deployment `name`."""
    given = _given(name, settings)
    load = LOADS[name](settings)
    options: dict[str, Any] = {
        "name": name,
        "max_ongoing_requests": _ongoing(name, settings) + load.margin,
        "max_queued_requests": given.max_queued_requests or load.queued,
        "backpressure_config": {"status_code": 429, "retry_after_s": _RETRY_AFTER_S},
        "ray_actor_options": _resources(given, load),
        # Short, because a replica killed from outside is noticed at its next check.
        "health_check_period_s": 1.0,
        "health_check_timeout_s": 10.0,
        "graceful_shutdown_wait_loop_s": 0.5,
        "graceful_shutdown_timeout_s": 10.0,
        "max_constructor_retry_count": 20,
    }
    return options | _scale(given)


def admitted(settings: Settings) -> int:
    """Requests that one gateway replica works on at the same time."""
    return _ongoing(GATEWAY, settings)


def _ongoing(name: str, settings: Settings) -> int:
    return _given(name, settings).max_ongoing_requests or LOADS[name](settings).ongoing


def _given(name: str, settings: Settings) -> NodeOptions:
    return settings.nodes.get(name, NodeOptions())


def _resources(given: NodeOptions, load: Load) -> dict[str, float]:
    resources = {"num_cpus": load.cpus if given.num_cpus is None else given.num_cpus}
    return resources if given.num_gpus is None else resources | {"num_gpus": given.num_gpus}


def _scale(given: NodeOptions) -> dict[str, Any]:
    if given.autoscaling is not None:
        return {"autoscaling_config": given.autoscaling}
    return {"num_replicas": given.num_replicas or 1}
