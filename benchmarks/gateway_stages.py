"""What the gateway adds to one request, stage by stage, in microseconds.

    python -m benchmarks.gateway_stages [--rounds 60] [--calls 40] [--profile]

A trivial route is called in process, as an ASGI server would call it: first within a bare FastAPI application, then
with one layer of the gateway after another around it, in their real order from the inside out. Every variant runs a
few calls in each round, in turn, so that what the machine does meanwhile hits all alike; a stage's cost is the
median over the rounds of the difference to the variant before. On a machine that does other things too, the quietest
rounds tell more. Engines are real: PostgreSQL behind the tokens and the idempotency keys, Valkey behind the limits.
The last rows are writes; the one with a key is a transaction.
"""

import argparse
import cProfile
import io
import os
import pstats
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Annotated, Any, cast
from uuid import UUID, uuid4

import uvloop
from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks.gateway_rig import Parts, open_parts, valkey_server
from benchmarks.report import aims, at_most, table
from benchmarks.retrieval_rig import postgres_server
from voicehelper.config import HttpSettings, LimitSettings
from voicehelper.embedded.valkey import EmbeddedValkey
from voicehelper.errors import Unavailable
from voicehelper.gateway.app import add_layers
from voicehelper.gateway.dispatch import RouteIndex, flat_routes
from voicehelper.gateway.middleware import Authentication, BodyLimit, Deadlines, Idempotency, PrincipalLimits
from voicehelper.gateway.params import Wired, requires
from voicehelper.gateway.quotas import Quotas, Rates
from voicehelper.gateway.routes import ROUTERS
from voicehelper.gateway.services import Services
from voicehelper.identity import Principal
from voicehelper.limits import AddressNames, Counters, FallbackLimiter, LocalLimiter
from voicehelper.telemetry import configure_logging, configure_tracing
from voicehelper.wire.common import Body, View

HTTP = HttpSettings(cors_origins=("https://shop.example",))
LIMITS = LimitSettings(per_address=10**9, per_user=10**9, per_tenant=10**9, model_calls_per_tenant=10**9)
QUIET: Any = {"tracing": False, "metrics": False, "logs": False}

_BUILT_ON = {4: 3, 5: 3, 6: 5, 7: 3, 8: 0, 9: 8, 10: 9}  # the others on the one before


class Thing(View):
    """What the trivial route answers."""

    id: UUID
    name: str


class ThingCreate(Body):
    """What the trivial write takes."""

    name: str


@dataclass
class Variant:
    """One way to serve the request."""

    name: str
    app: ASGIApp
    method: str = "GET"
    headers: tuple[tuple[bytes, bytes], ...] = ()
    keyed: bool = False


class NeverThere:
    """Counters that are away."""

    async def acquire(self, _limits: object) -> Any:
        """Raises `Unavailable`."""
        raise Unavailable


class Known:
    """Innermost stand-in for `Authentication`, where the variant has none: the route wants to know who asks."""

    def __init__(self, app: ASGIApp, principal: Principal) -> None:
        self._app = app
        self._principal = principal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        scope.setdefault("state", {}).setdefault("principal", self._principal)
        await self._app(scope, receive, send)


def bare() -> FastAPI:
    """The floor."""
    app = FastAPI(telemetry=QUIET)

    @app.get("/api/v1/things/{thing_id}")
    async def thing(thing_id: UUID) -> Thing:
        return Thing(id=thing_id, name="thing")

    @app.post("/api/v1/things")
    async def create(body: ThingCreate) -> Thing:
        return Thing(id=uuid4(), name=body.name)

    return app


def ours() -> FastAPI:
    """The same, with what our routes ask of a request, and found among all our routes."""
    router = APIRouter()

    @router.get("/api/v1/things/{thing_id}")
    async def thing(thing_id: UUID, services: Wired, caller: Annotated[Principal, requires("profile:read")]) -> Thing:
        return Thing(id=thing_id, name="thing")

    @router.post("/api/v1/things")
    async def create(
        body: ThingCreate, services: Wired, caller: Annotated[Principal, requires("profile:write")]
    ) -> Thing:
        return Thing(id=uuid4(), name=body.name)

    app = FastAPI(telemetry=QUIET)
    app.state.services = SimpleNamespace()
    app.router.routes.append(RouteIndex(flat_routes(*ROUTERS, router)))
    return app


def whole(parts: Parts, limits: Rates | None) -> FastAPI:
    """All layers around `ours`."""
    app = ours()
    found = SimpleNamespace(http=HTTP, rates=limits, authenticator=parts.authenticator, idempotency=parts.idempotency)
    add_layers(app, cast(Services, found))
    return app


def rates(counters: Counters) -> Rates:
    """Limits that nobody reaches."""
    limiter = FallbackLimiter(counters, LocalLimiter(LIMITS.window_s))
    return Rates(limiter, Quotas(LIMITS, AddressNames(b"key")), LIMITS.window_s)


def variants(parts: Parts) -> list[Variant]:
    """From the floor to the whole gateway."""
    sent = (
        (b"authorization", f"Bearer {parts.token}".encode()),
        (b"accept-language", b"zh-CN,zh;q=0.9,en;q=0.8"),
        (b"x-request-id", b"0190163d8694739b"),
    )
    local, redis = rates(NeverThere()), rates(parts.counters)
    routed = Known(ours(), parts.principal)
    sized = BodyLimit(Idempotency(Deadlines(routed, HTTP), parts.idempotency, HTTP), HTTP)
    alone = Authentication(PrincipalLimits(sized, local), parts.authenticator)
    shared = Authentication(PrincipalLimits(sized, redis), parts.authenticator)
    everything = whole(parts, redis)
    return [
        Variant("bare FastAPI", bare(), headers=sent),
        Variant("routing: permission, services", routed, headers=sent),
        Variant("deadline, body limit, idempotency (no key)", sized, headers=sent),
        Variant("authentication, warm", Authentication(sized, parts.authenticator), headers=sent),
        Variant("limits without Redis", alone, headers=sent),
        Variant("limits with Redis (instead)", shared, headers=sent),
        Variant("edge, boundary, CORS: everything", everything, headers=sent),
        Variant("everything but limits", whole(parts, None), headers=sent),
        Variant("a write, bare FastAPI", bare(), "POST", sent),
        Variant("a write, everything", everything, "POST", sent),
        Variant("a write with Idempotency-Key", everything, "POST", sent, keyed=True),
    ]


async def call(variant: Variant) -> None:
    """One request, to its last byte. Raises `RuntimeError` unless it was answered with 200."""
    body = b'{"name":"thing"}' if variant.method == "POST" else b""
    path = "/api/v1/things" if body else "/api/v1/things/0190163d-8694-739b-aea5-966c26f8ad91"
    headers = [(b"host", b"localhost"), (b"content-length", str(len(body)).encode()), *variant.headers]
    if body:
        headers.append((b"content-type", b"application/json"))
    if variant.keyed:
        headers.append((b"idempotency-key", uuid4().hex.encode()))
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": variant.method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("192.0.2.7", 40000),
        "server": ("127.0.0.1", 8000),
    }
    status = 0

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)

    await variant.app(scope, receive, send)
    if status != 200:
        raise RuntimeError(f"{variant.name}: {status}")


@dataclass
class Measured:
    """Microseconds of one call in each round: by the clock, and of this process's processor time."""

    wall: list[float]
    cpu: list[float]


async def measure(found: list[Variant], rounds: int, calls: int) -> list[Measured]:
    """By variant."""
    times = [Measured([], []) for _ in found]
    for number in range(rounds + 2):
        for variant, measured in zip(found, times, strict=True):
            started, used = time.perf_counter(), time.process_time()
            for _ in range(calls):
                await call(variant)
            if number >= 2:  # the first ones warm caches
                measured.wall.append((time.perf_counter() - started) / calls * 1e6)
                measured.cpu.append((time.process_time() - used) / calls * 1e6)
    return times


def print_report(found: list[Variant], times: list[Measured]) -> None:
    """The table, and the aims."""
    rows = [_row(place, variant, times) for place, variant in enumerate(found)]
    print(table(("what", "us a request", "step", "quietest round", "step", "of processor time", "step"), rows))
    print("\nBoth kinds of limits are built on authentication; everything on limits with Redis, its write on itself.\n")
    first, whole = times[0], times[6]
    wall, quiet = _step(whole.wall, first.wall), min(whole.wall) - min(first.wall)
    print(
        f"The whole gateway adds {wall:.0f} us to bare FastAPI's {median(first.wall):.0f}; in quiet rounds {quiet:.0f}."
    )
    print(aims(at_most("what the gateway adds to a request, all in (us)", 500, wall, "us", 0)))


def _row(place: int, variant: Variant, times: list[Measured]) -> tuple[str, ...]:
    """Medians with the median difference; of the quietest round, the plain difference."""
    here, before = times[place], times[_BUILT_ON.get(place, max(0, place - 1))]
    figures = [median(here.wall), _step(here.wall, before.wall)]
    for mine, theirs in ((here.wall, before.wall), (here.cpu, before.cpu)):
        figures += [min(mine), min(mine) - min(theirs)]
    return variant.name, *(f"{figure:+.0f}" if i % 2 else f"{figure:.0f}" for i, figure in enumerate(figures))


def _step(after: list[float], before: list[float]) -> float:
    """The median of the differences within each round."""
    return median(a - b for a, b in zip(after, before, strict=True))


async def run(postgres_url: str, valkey: EmbeddedValkey, home: Path, options: argparse.Namespace) -> None:
    """Measure and print."""
    async with open_parts(postgres_url, valkey, home, LIMITS.window_s) as parts:
        found = variants(parts)
        if options.profile is not None:
            await profile(found[options.profile])
        else:
            print_report(found, await measure(found, options.rounds, options.calls))


async def profile(variant: Variant, calls: int = 3000) -> None:
    """Where the time of one variant goes."""
    for _ in range(200):
        await call(variant)
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(calls):
        await call(variant)
    profiler.disable()
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).sort_stats("tottime").print_stats(45)
    print(text.getvalue())


def main() -> None:
    """Start the engines, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--calls", type=int, default=40, help="of each variant in one round")
    parser.add_argument("--profile", type=int, metavar="N", help="show where the time of the Nth variant goes instead")
    options = parser.parse_args()
    configure_tracing("bench")
    with (
        postgres_server() as postgres,
        valkey_server() as valkey,
        tempfile.TemporaryDirectory() as home,
        Path(os.devnull).open("w") as nowhere,
    ):
        configure_logging("INFO", nowhere)
        uvloop.run(run(postgres.url(), valkey, Path(home), options))


if __name__ == "__main__":
    main()
