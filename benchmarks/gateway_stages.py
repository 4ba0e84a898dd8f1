"""What the gateway adds to one request, stage by stage, in microseconds.

    python -m benchmarks.gateway_stages [--rounds 60] [--calls 40] [--profile]

A trivial route is called in process, as an ASGI server would call it: first within a bare FastAPI application, then
with one layer of the gateway after another around it, in their real order from the inside out. Every variant runs a
few calls in each round, in turn, so that what the machine does meanwhile hits all alike; a stage's cost is the
median over the rounds of the difference to the variant before. Engines are real: PostgreSQL behind the tokens and the
idempotency keys, Valkey behind the limits. The last rows are writes, each of them a transaction.
"""

import argparse
import asyncio
import cProfile
import io
import os
import pstats
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Annotated, Any, cast
from uuid import UUID, uuid4

import uvloop
from fastapi import FastAPI
from pydantic import SecretStr
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks.report import aims, at_most, table
from benchmarks.retrieval_rig import postgres_server
from voicehelper.config import HttpSettings, IdentitySettings, LimitSettings, Settings
from voicehelper.embedded.ports import random_port
from voicehelper.embedded.process import EngineError, stop
from voicehelper.embedded.valkey import EmbeddedValkey
from voicehelper.errors import Unavailable
from voicehelper.gateway.app import add_layers
from voicehelper.gateway.middleware import Authentication, BodyLimit, Deadlines, Idempotency, PrincipalLimits
from voicehelper.gateway.params import Wired, requires
from voicehelper.gateway.quotas import Quotas, Rates
from voicehelper.gateway.services import Services
from voicehelper.identity import Principal
from voicehelper.identity.secrets import SecretBox
from voicehelper.limits import AddressNames, Counters, FallbackLimiter, LocalLimiter
from voicehelper.ports.clock import SystemClock
from voicehelper.stores.authentication import AuthenticationStack, authentication
from voicehelper.stores.postgres.idempotency import PostgresIdempotency
from voicehelper.stores.postgres.identity import PostgresUsers
from voicehelper.stores.postgres.pool import Pool, create_pool
from voicehelper.stores.postgres.wakeups import Wakeups
from voicehelper.stores.rate_limits import RedisLimiter
from voicehelper.stores.redis import connect_redis
from voicehelper.telemetry import configure_logging, configure_tracing
from voicehelper.wire.common import Body, View

HTTP = HttpSettings(cors_origins=("https://shop.example",))
LIMITS = LimitSettings(per_address=10**9, per_user=10**9, per_tenant=10**9)
QUIET: Any = {"tracing": False, "metrics": False, "logs": False}
MASTER = b"m" * 32


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
    """The same, with what our routes ask of a request."""
    app = FastAPI(telemetry=QUIET)
    app.state.services = SimpleNamespace()

    @app.get("/api/v1/things/{thing_id}")
    async def thing(thing_id: UUID, services: Wired, caller: Annotated[Principal, requires("profile:read")]) -> Thing:
        return Thing(id=thing_id, name="thing")

    @app.post("/api/v1/things")
    async def create(
        body: ThingCreate, services: Wired, caller: Annotated[Principal, requires("profile:write")]
    ) -> Thing:
        return Thing(id=uuid4(), name=body.name)

    return app


def whole(services: Services) -> FastAPI:
    """All layers around `ours`."""
    app = ours()
    add_layers(app, services)
    return app


def rates(counters: Counters) -> Rates:
    """Limits that nobody reaches."""
    limiter = FallbackLimiter(counters, LocalLimiter(LIMITS.window_s))
    return Rates(limiter, Quotas(LIMITS, AddressNames(MASTER)), LIMITS.window_s)


def variants(stack: AuthenticationStack, idempotency: PostgresIdempotency, shared: Counters, principal: Principal, token: str) -> list[Variant]:  # fmt: skip
    """From the floor to the whole gateway."""
    sent = ((b"authorization", f"Bearer {token}".encode()), (b"accept-language", b"zh-CN,zh;q=0.9,en;q=0.8"))

    def services(limits: Rates | None) -> Services:
        found = SimpleNamespace(http=HTTP, rates=limits, authenticator=stack.authenticator, idempotency=idempotency)
        return cast(Services, found)

    app = Known(ours(), principal)
    bounded = Deadlines(app, HTTP)
    once = Idempotency(bounded, idempotency, HTTP)
    sized = BodyLimit(once, HTTP)
    local, redis = rates(NeverThere()), rates(shared)
    everything = whole(services(redis))
    return [
        Variant("bare FastAPI", bare(), headers=sent),
        Variant("routing: permission, services", app, headers=sent),
        Variant("deadline, body limit, idempotency (no key)", sized, headers=sent),
        Variant("authentication, warm", Authentication(sized, stack.authenticator), headers=sent),
        Variant("limits without Redis", Authentication(PrincipalLimits(sized, local), stack.authenticator), headers=sent),
        Variant("limits with Redis (instead)", Authentication(PrincipalLimits(sized, redis), stack.authenticator), headers=sent),
        Variant("edge, boundary, CORS: everything", everything, headers=sent),
        Variant("everything but limits", whole(services(None)), headers=sent),
        Variant("a write, bare FastAPI", bare(), "POST", sent),
        Variant("a write, everything", everything, "POST", sent),
        Variant("a write with Idempotency-Key", everything, "POST", sent, keyed=True),
    ]  # fmt: skip


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


async def measure(found: list[Variant], rounds: int, calls: int) -> list[list[float]]:
    """Microseconds of one call, by variant and round."""
    times: list[list[float]] = [[] for _ in found]
    for number in range(rounds + 2):
        for place, variant in enumerate(found):
            started = time.perf_counter()
            for _ in range(calls):
                await call(variant)
            if number >= 2:  # the first ones warm caches
                times[place].append((time.perf_counter() - started) / calls * 1e6)
    return times


def print_report(found: list[Variant], times: list[list[float]]) -> None:
    """The table, and the aims."""
    base = {0: 0, 4: 3, 5: 3, 6: 5, 7: 0, 8: 8, 9: 8, 10: 9}
    rows = []
    added = []
    for place, variant in enumerate(found):
        before = times[base.get(place, place - 1)]
        step = median(a - b for a, b in zip(times[place], before, strict=True))
        added.append(step)
        rows.append((variant.name, f"{median(times[place]):.0f}", "" if not step else f"{step:+.0f}"))
    print(table(("what", "us a request", "more than the one it is built on"), rows))
    print("\nLimits are built on authentication, either way; everything on limits with Redis.\n")
    total = median(a - b for a, b in zip(times[6], times[0], strict=True))
    print(f"The whole gateway adds {total:.0f} us to a request that bare FastAPI answers in {median(times[0]):.0f} us.")
    print(aims(at_most("what the gateway adds to a request, all in (us)", 1000, total, "us", 0)))


@contextmanager
def valkey_server() -> Iterator[EmbeddedValkey]:
    """A server in a temporary folder, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="voicehelper-bench-"))
    folder.chmod(0o755)
    server = EmbeddedValkey(folder / "valkey", random_port(), "bench", folder / "log", durable=False)
    server.prepare()
    process = server.start()
    try:
        yield server
    finally:
        stop(process)
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def engines(postgres_url: str, valkey: EmbeddedValkey, home: Path) -> AsyncIterator[list[Variant]]:
    """The variants, over open connections."""
    settings = Settings(
        home=home, identity=IdentitySettings(master_key=SecretStr("bW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW0="))
    )
    async with AsyncExitStack() as opened:
        pool: Pool = await create_pool(postgres_url, max_size=4)
        opened.push_async_callback(pool.close)
        wakeups, link = Wakeups(pool), connect_redis(valkey.url())
        opened.push_async_callback(link.close)
        opened.push_async_callback(wakeups.close)
        stack = authentication(settings, pool, wakeups, link, SystemClock())
        await stack.start()
        following = asyncio.create_task(stack.run())
        opened.callback(following.cancel)
        user = await PostgresUsers(pool).create_admin("bench", "bench@example.com", "x")
        token = stack.issuer.issue(user, uuid4()).token
        principal = await stack.authenticator.authenticate(token)
        idempotency = PostgresIdempotency(pool, SecretBox(MASTER, "idempotency"))
        yield variants(stack, idempotency, RedisLimiter(link, LIMITS.window_s), principal, token)


async def run(postgres_url: str, valkey: EmbeddedValkey, home: Path, options: argparse.Namespace) -> None:
    """Measure and print."""
    async with asyncio.timeout(30):
        while not await _answers(valkey):
            await asyncio.sleep(0.05)
    async with engines(postgres_url, valkey, home) as found:
        if options.profile:
            await profile(found[int(options.profile)])
            return
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


async def _answers(valkey: EmbeddedValkey) -> bool:
    try:
        await valkey.check()
    except EngineError:
        return False
    return True


def main() -> None:
    """Start the engines, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--calls", type=int, default=40, help="of each variant in one round")
    parser.add_argument("--profile", help="number of a variant: show where its time goes instead")
    options = parser.parse_args()
    configure_tracing("bench")
    with postgres_server() as postgres, valkey_server() as valkey, tempfile.TemporaryDirectory() as home:
        with Path(os.devnull).open("w") as nowhere:
            configure_logging("INFO", nowhere)
            uvloop.run(run(postgres.url(), valkey, Path(home), options))


if __name__ == "__main__":
    main()
