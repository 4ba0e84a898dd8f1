"""Verifications per second on one core: signature, revocation, permissions; beside the bare libraries.

    python -m benchmarks.tokens [--tokens 4000] [--seconds 3]

PostgreSQL and Valkey run on the machine's other cores; the verifying process is held to one.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import jwt
import numpy as np
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from jwt.utils import base64url_decode

from benchmarks.report import aims, at_least, at_most, table
from benchmarks.token_rig import Rig, open_rig
from voicehelper.identity import Authenticator
from voicehelper.ids import new_id
from voicehelper.stores.postgres.guard import SYSTEM, transaction
from voicehelper.stores.postgres.identity_changes import record_change
from voicehelper.telemetry import configure_logging

_USERS, _KEYS, _REVOKED = 1000, 1000, 2000
_ROUNDS = 5
_WARM_LOOPS = 100
_RATE = 10_000


@dataclass(frozen=True)
class Row:
    """Calls per second, and the microseconds of processor time of each: on a busy machine they tell more."""

    name: str
    per_second: float
    cpu_us: float
    p95_us: float

    def cells(self) -> tuple[str, ...]:
        """As the table shows it."""
        return self.name, f"{self.per_second:,.0f}", f"{self.cpu_us:.2f}", f"{self.p95_us:.1f}"


class Stopwatch:
    """Wall and processor time of the blocks it is entered for, together."""

    wall = cpu = calls = 0.0

    def __enter__(self) -> None:
        self._from = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self.wall += time.perf_counter() - self._from[0]
        self.cpu += time.process_time() - self._from[1]

    def row(self, name: str, calls: int, spent: Sequence[float]) -> Row:
        """The figures of `calls` calls in all; `spent` holds seconds of single ones."""
        return Row(name, calls / self.wall, self.cpu / calls * 1e6, float(np.percentile(spent, 95)) * 1e6)


def bare(name: str, call: Callable[[str], object], tokens: Sequence[str]) -> Row:
    """A library's own verification, in a plain loop."""
    watch = Stopwatch()
    for _ in range(_ROUNDS):
        with watch:
            for token in tokens:
                call(token)
    spent = []
    for token in tokens:
        started = time.perf_counter()
        call(token)
        spent.append(time.perf_counter() - started)
    return watch.row(name, _ROUNDS * len(tokens), spent)


async def once_each(authenticator: Authenticator, credentials: Sequence[str]) -> list[float]:
    """Seconds of each, one after the other."""
    authenticate, spent = authenticator.authenticate, []
    for credential in credentials:
        started = time.perf_counter()
        await authenticate(credential)
        spent.append(time.perf_counter() - started)
    return spent


async def first_sight(rig: Rig, tokens: Sequence[str], name: str, before: Callable[[], Awaitable[None]]) -> Row:
    """In a process that knows nobody."""
    watch, spent = Stopwatch(), []
    for _ in range(3):
        await before()
        async with rig.process() as stack:
            with watch:
                spent += await once_each(stack.authenticator, tokens)
    return watch.row(name, len(spent), spent)


async def cold(rig: Rig, credentials: Sequence[str], name: str, known: Sequence[str]) -> Row:
    """Credentials never seen before; their users were, through `known`."""
    watch, spent = Stopwatch(), []
    for _ in range(_ROUNDS):
        async with rig.process() as stack:
            await once_each(stack.authenticator, known)
            with watch:
                spent += await once_each(stack.authenticator, credentials)
    return watch.row(name, len(spent), spent)


async def warm(rig: Rig, credentials: Sequence[str], name: str) -> Row:
    """Credentials seen before."""
    watch = Stopwatch()
    async with rig.process() as stack:
        authenticate = stack.authenticator.authenticate
        await once_each(stack.authenticator, credentials)
        spent = await once_each(stack.authenticator, credentials)
        for _ in range(_WARM_LOOPS):
            with watch:
                for credential in credentials:
                    await authenticate(credential)
            await asyncio.sleep(0.001)  # the feed gets its turn: where it cannot look for 5 s, nobody is let in
    return watch.row(name, _WARM_LOOPS * len(credentials), spent)


async def offered(rig: Rig, tokens: Sequence[str], known: Sequence[str], seconds: float) -> tuple[float, float]:
    """Cold tokens that arrive at `_RATE` a second, whatever the verifier does: what is served, and the 95th percentile
    from arrival to answer, in milliseconds."""
    waited: list[float] = []
    while len(waited) < seconds * _RATE:
        async with rig.process() as stack:
            await once_each(stack.authenticator, known)
            began = time.perf_counter()
            for n, token in enumerate(tokens):
                due = began + n / _RATE
                while time.perf_counter() < due:  # noqa: ASYNC110 - a sleep is too coarse
                    await asyncio.sleep(0)
                await stack.authenticator.authenticate(token)
                waited.append(time.perf_counter() - due)
            served = len(tokens) / (time.perf_counter() - began)
    return served, float(np.percentile(waited, 95)) * 1000


async def revocation(rig: Rig, times: int) -> list[float]:
    """Milliseconds from the commit of a revocation to the moment another process refuses the session."""
    spent = []
    async with rig.process() as theirs:
        for n in range(times):
            await asyncio.sleep(0.003 * (n % 10))  # at any phase of the feed's own clock
            session = new_id()
            async with transaction(rig.pool, SYSTEM) as conn:
                await record_change(conn, "session", rig.users[0].tenant_id, session, 3600)
            started = time.perf_counter()
            while not theirs.feed.revoked(session):  # noqa: ASYNC110 - the feed's own news come later
                await asyncio.sleep(0)
            spent.append((time.perf_counter() - started) * 1000)
    return spent


def _floors(rig: Rig, tokens: Sequence[str], pem: jwt.PyJWK) -> list[Row]:
    public = pem.key

    def verify(token: str) -> None:
        signed, _, signature = token.rpartition(".")
        public.verify(base64url_decode(signature), signed.encode(), PKCS1v15(), SHA256())

    def decode(token: str) -> object:
        return jwt.decode(token, public, algorithms=["RS256"], issuer="voicehelper")

    return [bare("bare RSA verification (`cryptography`)", verify, tokens), bare("bare `jwt.decode`", decode, tokens)]


async def measure(count: int, seconds: float) -> None:
    """Everything, printed as Markdown."""
    async with open_rig(_USERS, _KEYS, _REVOKED) as rig:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        async with rig.process() as stack:

            def issue(n: int) -> list[str]:
                return [stack.issuer.issue(rig.users[i % _USERS], new_id()).token for i in range(n)]

            tokens, known = issue(count), issue(_USERS)
            floors = _floors(rig, tokens, jwt.PyJWK.from_dict(stack.keys.jwks()["keys"][0]))

        async def nothing() -> None:
            """Redis keeps what the processes before this one put there."""

        rows = [
            await first_sight(rig, known, "token and user never seen: PostgreSQL asked", rig.forget_cache),
            await first_sight(rig, known, "token and user never seen here: Redis asked", nothing),
            await cold(rig, tokens, "token never seen, user known", known),
            await warm(rig, tokens, "token seen before"),
            await cold(rig, rig.keys, "API key never seen, user known: PostgreSQL asked", known),
            await warm(rig, rig.keys, "API key seen before"),
        ]
        served, p95_ms = await offered(rig, tokens, known, seconds)
        revoked_ms = await revocation(rig, 200)
    print(f"One core; {_USERS} users, {count} tokens, {_REVOKED} revoked sessions in the feed; one call at a time.\n")
    print(table(("verification", "per second", "µs of CPU each", "p95, µs"), [row.cells() for row in floors + rows]))
    print(f"\nOffered {_RATE:,} cold tokens a second for {seconds:g} s: served {served:,.0f}/s.")
    print(
        f"A revocation holds in another process after {np.percentile(revoked_ms, 50):.1f} ms (median), "
        f"{np.percentile(revoked_ms, 95):.1f} ms (p95), {max(revoked_ms):.1f} ms (longest of {len(revoked_ms)})."
    )
    print(
        aims(
            at_least("cold verifications on one core", 10_000, rows[2].per_second, "/s", 0),
            at_most("p95 at 10,000 cold tokens a second", 10, p95_ms, "ms", 2),
            at_least("warm verifications on one core", 200_000, rows[3].per_second, "/s", 0),
            at_most("longest time until a revocation holds", 1000, max(revoked_ms), "ms"),
            at_least("cold, against bare `jwt.decode`", 1, floors[1].cpu_us / rows[2].cpu_us, "x"),
        )
    )


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=4000, help="distinct tokens")
    parser.add_argument("--seconds", type=float, default=3.0, help="of offered load")
    arguments = parser.parse_args()
    configure_logging("WARNING")
    asyncio.run(measure(arguments.tokens, arguments.seconds))


if __name__ == "__main__":
    main()
