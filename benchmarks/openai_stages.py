"""What the gateway takes for a chat completion, stage by stage, in microseconds, beside a model that answers at once.

    python -m benchmarks.openai_stages [--rounds 60] [--calls 40] [--at-once 1] [--stream] [--profile N]

As `gateway_stages` does it: called in process as an ASGI server would, one layer after another from the inside out,
every variant a few times in each round, real PostgreSQL behind the tokens and Valkey behind the limits. "Of processor
time" is this process's alone: what a core spends on a request, Valkey's part and the socket's left out.
"""

import argparse
import asyncio
import cProfile
import io
import json
import os
import pstats
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import uvloop
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Scope

from benchmarks.gateway_rig import Parts, open_parts, valkey_server
from benchmarks.gateway_stages import HTTP, LIMITS, QUIET, Known, Measured, NeverThere, rates
from benchmarks.report import table
from benchmarks.retrieval_rig import postgres_server
from voicehelper.config import ChatSettings
from voicehelper.embedded.valkey import EmbeddedValkey
from voicehelper.gateway.app import add_layers
from voicehelper.gateway.dispatch import RouteIndex, flat_routes
from voicehelper.gateway.middleware import Authentication, BodyLimit, Deadlines, Idempotency, PrincipalLimits
from voicehelper.gateway.routes import ROUTERS
from voicehelper.gateway.services import Services
from voicehelper.models.local import local_entry
from voicehelper.models.model import ModelEntry
from voicehelper.ports.chat import ChatAttempt, ChatDelta, ChatDone, ChatEvent, ChatRequest, ChatRoute, ChatUsage
from voicehelper.telemetry import configure_logging, configure_tracing

PATH = "/v1/chat/completions"
WORDS = ("The answer", " is", " of", " several", " pieces", ".") * 3


@dataclass
class AtOnce:
    """A model that has its answer ready."""

    done: ChatDone = ChatDone(
        "stop",
        ChatUsage(20, 18),
        "fake",
        ChatRoute("openai", "named", (ChatAttempt("fake", "answered", ms=1.0),), cost_micros=12),
    )
    events: tuple[ChatEvent, ...] = field(default_factory=lambda: tuple(ChatDelta(word) for word in WORDS))

    async def stream(self, _request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Eighteen pieces, and the end."""
        for event in self.events:
            yield event
        yield self.done


class One:
    """A catalogue of the instance's own model."""

    def __init__(self) -> None:
        entry = local_entry(ChatSettings(model="fake", backend="fake"))
        self._models: dict[str, ModelEntry] = {entry.name: entry}

    def of(self, _tenant: object) -> dict[str, ModelEntry]:
        """Always the same."""
        return self._models


@dataclass
class Variant:
    """One way to serve the request."""

    name: str
    app: ASGIApp
    after: int = 0  # the variant it is compared with


def application(found: Any) -> FastAPI:
    """Our routes over `found`, without layers."""
    app = FastAPI(telemetry=QUIET)
    app.state.services = found
    app.router.routes.append(RouteIndex(flat_routes(*ROUTERS)))
    return app


def variants(parts: Parts) -> list[Variant]:
    """From the route to the whole gateway."""
    local, redis = rates(NeverThere()), rates(parts.counters)
    common = {"router": AtOnce(), "catalogue": One(), "http": HTTP, "authenticator": parts.authenticator}
    found = SimpleNamespace(**common, rates=redis, idempotency=parts.idempotency)
    routed = Known(application(found), parts.principal)
    sized = BodyLimit(Idempotency(Deadlines(routed, HTTP), parts.idempotency, HTTP), HTTP)
    known = Authentication(sized, parts.authenticator)
    whole = application(found)
    add_layers(whole, cast(Services, found), flat_routes(*ROUTERS))
    unlimited = application(SimpleNamespace(**{**vars(found), "rates": None}))
    add_layers(unlimited, cast(Services, unlimited.state.services), flat_routes(*ROUTERS))
    return [
        Variant("routing and the route itself", routed),
        Variant("deadline, body limit, idempotency", sized, 0),
        Variant("authentication, warm", known, 1),
        Variant("limits without Redis", Authentication(PrincipalLimits(sized, local), parts.authenticator), 2),
        Variant("limits with Redis (instead)", Authentication(PrincipalLimits(sized, redis), parts.authenticator), 2),
        Variant("everything", whole, 4),
        Variant("everything but limits", unlimited, 2),
    ]


class Caller:
    """Calls variants with one request."""

    def __init__(self, parts: Parts, stream: bool) -> None:
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is an answer?"}]
        body: dict[str, Any] = {"model": "fake", "messages": messages, "temperature": 0.2, "max_tokens": 64}
        self._body = json.dumps(body | ({"stream": True} if stream else {})).encode()
        self._headers = [
            (b"host", b"localhost"),
            (b"accept-encoding", b"gzip, deflate"),
            (b"connection", b"keep-alive"),
            (b"accept", b"application/json"),
            (b"content-type", b"application/json"),
            (b"user-agent", b"AsyncOpenAI/Python 2.0"),
            (b"authorization", f"Bearer {parts.token}".encode()),
            (b"x-stainless-lang", b"python"),
            (b"x-stainless-async", b"async:asyncio"),
            (b"content-length", b"%d" % len(self._body)),
        ]

    async def call(self, app: ASGIApp) -> None:
        """One request, to its last byte. Raises `RuntimeError` unless it was answered with 200."""
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": PATH,
            "raw_path": PATH.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": self._headers,
            "client": ("192.0.2.7", 40000),
            "server": ("127.0.0.1", 8000),
        }
        status, read = 0, False

        async def receive() -> Message:
            nonlocal read
            if not read:
                read = True
                return {"type": "http.request", "body": self._body, "more_body": False}
            await asyncio.get_running_loop().create_future()
            raise AssertionError

        async def send(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)

        await app(scope, receive, send)
        if status != 200:
            raise RuntimeError(str(status))


async def measure(found: list[Variant], caller: Caller, rounds: int, calls: int, at_once: int) -> list[Measured]:
    """By variant."""
    times = [Measured([], []) for _ in found]
    for number in range(rounds + 2):
        for variant, measured in zip(found, times, strict=True):
            started, used = time.perf_counter(), time.process_time()
            for _ in range(max(1, calls // at_once)):
                await asyncio.gather(*[caller.call(variant.app) for _ in range(at_once)])
            if number >= 2:  # the first ones warm caches
                done = max(1, calls // at_once) * at_once
                measured.wall.append((time.perf_counter() - started) / done * 1e6)
                measured.cpu.append((time.process_time() - used) / done * 1e6)
    return times


def print_report(found: list[Variant], times: list[Measured]) -> None:
    """The table: of the quietest rounds, because load from elsewhere only ever adds."""
    rows = []
    for place, (variant, measured) in enumerate(zip(found, times, strict=True)):
        before = times[variant.after] if place else None
        row = [variant.name]
        for mine, theirs in ((measured.wall, before and before.wall), (measured.cpu, before and before.cpu)):
            row += [f"{min(mine):.0f}", f"{min(mine) - min(theirs):+.0f}" if theirs else ""]
        rows.append(tuple(row))
    print(table(("what", "us a request", "step", "of processor time", "step"), rows))


async def profile(variant: Variant, caller: Caller, calls: int = 5000) -> None:
    """Where the time of one variant goes."""
    for _ in range(200):
        await caller.call(variant.app)
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(calls):
        await caller.call(variant.app)
    profiler.disable()
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).sort_stats("tottime").print_stats(60)
    print(text.getvalue())


async def run(postgres_url: str, valkey: EmbeddedValkey, home: Path, options: argparse.Namespace) -> None:
    """Measure and print."""
    async with open_parts(postgres_url, valkey, home, LIMITS.window_s) as parts:
        found, caller = variants(parts), Caller(parts, options.stream)
        if options.profile is not None:
            await profile(found[options.profile], caller)
        else:
            print_report(found, await measure(found, caller, options.rounds, options.calls, options.at_once))


def main() -> None:
    """Start the engines, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--calls", type=int, default=40, help="of each variant in one round")
    parser.add_argument("--at-once", type=int, default=1, help="calls that run together")
    parser.add_argument("--profile", type=int, default=None, help="number of the variant to profile instead")
    parser.add_argument("--stream", action="store_true")
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
