"""Conversations over HTTP against a bare FastAPI + psycopg application that sends the same statements.

    python -m benchmarks.conversations [--seconds 2] [--rounds 3]

Three requests at 1, 16 and 64 clients: the list (50 of a user's 500 conversations), a new conversation, and a question
with a fake answerer that is done at once (two transactions, six statements, and the answer's life around them). Both
applications run under uvicorn (one process, uvloop, httptools, 8 connections) on the same PostgreSQL (fsync on) in
databases of their own with the same rows; ours has Valkey, limits too high to be met, and whatever else a gateway has.
Rounds take turns, so that both see the same machine. The event relay runs in neither.
"""

import argparse
import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

import asyncpg
import orjson
import psutil

from benchmarks.http_load import Measured, call, load, request
from benchmarks.report import table
from tests.integration.conftest import wait_ready
from voicehelper.embedded.ports import random_port
from voicehelper.embedded.postgres import EmbeddedPostgres
from voicehelper.embedded.process import stop
from voicehelper.embedded.valkey import EmbeddedValkey

CLIENTS = (1, 16, 64)
CONVERSATIONS = 500
PASSWORD = "Bench-mark-Passw0rd"
PATH = "/api/v1/conversations"
_UNLIMITED = ("PER_ADDRESS", "PER_USER", "PER_TENANT", "ANSWERS_PER_USER", "ANSWERS_PER_TENANT")
_SEED = """
INSERT INTO conversations (id, tenant_id, user_id, title, updated_at)
SELECT gen_random_uuid(), $1, $2, '关于订单 ' || n || ' 的问题', now() - n * interval '1 minute'
FROM generate_series(1, $3) n"""


@dataclass(frozen=True)
class Server:
    """One of the two, and how to speak to it."""

    name: str
    process: psutil.Process
    port: int
    token: str
    conversations: tuple[str, ...]

    def operations(self) -> dict[str, Callable[[int], bytes]]:
        """What is measured, by name; each client asks in a conversation of its own."""
        page = request("GET", PATH, self.token)
        new = request("POST", PATH, self.token, {"title": "退货"})
        body = {"content": "怎么申请退货？"}
        asks = [request("POST", f"{PATH}/{one}/messages", self.token, body) for one in self.conversations]
        return {
            "GET /conversations": lambda _client: page,
            "POST /conversations": lambda _client: new,
            "POST /messages (fake answerer)": lambda client: asks[client],
        }


@contextmanager
def engines() -> Iterator[tuple[EmbeddedPostgres, EmbeddedValkey, Path]]:
    """PostgreSQL and Valkey of our own, durable as in production, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="vh-bench-"))
    folder.chmod(0o755)
    postgres = EmbeddedPostgres(folder / "postgres", random_port(), "bench", folder / "postgres.log")
    valkey = EmbeddedValkey(folder / "valkey", random_port(), "bench", folder / "valkey.log")
    running = []
    try:
        for engine in (postgres, valkey):
            engine.prepare()
            running.append(engine.start())
            wait_ready(engine)
        yield postgres, valkey, folder
    finally:
        for process in running:
            stop(process, sign=signal.SIGQUIT if process is running[0] else signal.SIGTERM)
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def served(which: str, environment: dict[str, str]) -> AsyncIterator[tuple[psutil.Process, int]]:
    """The server's process and port, once it answers."""
    port = random_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.conversation_servers",
        which,
        str(port),
        env=os.environ | environment,
    )
    try:
        end = time.monotonic() + 60
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            except OSError:
                if time.monotonic() > end or process.returncode is not None:
                    raise SystemExit(f"{which} did not start") from None
                await asyncio.sleep(0.1)
        yield psutil.Process(process.pid), port
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 30)


async def login(port: int) -> str:
    """The administrator's token."""
    body = {"email": "admin@voicehelper.local", "password": PASSWORD}
    status, answer = await call(port, request("POST", "/api/v1/auth/login", "", body))
    if status != 200:
        raise SystemExit(f"Login failed: {answer!r}")
    return str(orjson.loads(answer)["access_token"])


async def seed(url: str) -> tuple[str, str]:
    """Give the administrator conversations; returns tenant and user."""
    connection = await asyncpg.connect(url)
    try:
        row = await connection.fetchrow("SELECT tenant_id, id FROM users WHERE kind = 'person' LIMIT 1")
        assert row is not None
        await connection.execute(_SEED, row["tenant_id"], row["id"], CONVERSATIONS)
        await connection.execute("VACUUM ANALYZE conversations")
        return str(row["tenant_id"]), str(row["id"])
    finally:
        await connection.close()


async def opened(name: str, process: psutil.Process, port: int, token: str) -> Server:
    """The server with a conversation for each client."""
    new = request("POST", PATH, token, {"title": "t"})
    made = [orjson.loads((await call(port, new))[1])["id"] for _ in range(max(CLIENTS))]
    return Server(name, process, port, token, tuple(made))


async def compare(servers: list[Server], seconds: float, rounds: int) -> dict[tuple[str, int, str], Measured]:
    """All rounds, the servers taking turns; by request, clients and server."""
    found: dict[tuple[str, int, str], Measured] = {}
    for operation in servers[0].operations():
        for clients in CLIENTS:
            for number in range(rounds + 1):
                for server in servers if number % 2 else servers[::-1]:
                    length = seconds if number else min(seconds, 1.0)
                    before = sum(server.process.cpu_times()[:2])
                    measured = await load(server.port, clients, length, server.operations()[operation])
                    measured.cpu_s = sum(server.process.cpu_times()[:2]) - before
                    if number:  # the first round warms up
                        found.setdefault((operation, clients, server.name), Measured(0.0)).add(measured)
    return found


def rows(found: dict[tuple[str, int, str], Measured]) -> Iterator[tuple[object, ...]]:
    """Lines of the table."""
    for operation in dict.fromkeys(key[0] for key in found):
        for clients in CLIENTS:
            ours, bare = found[operation, clients, "ours"], found[operation, clients, "bare"]
            yield operation, clients, *_figures(ours), *_figures(bare), f"{ours.rate / bare.rate:.2f}"


def _figures(measured: Measured) -> tuple[str, str, str, str]:
    cuts = quantiles(measured.latencies, n=100)
    cpu = measured.cpu_s * 1000 / len(measured.latencies)
    return f"{cuts[49]:.2f}", f"{cuts[94]:.2f}", f"{measured.rate:,.0f}", f"{cpu:.2f}"


async def measure(postgres: EmbeddedPostgres, valkey: EmbeddedValkey, home: Path, seconds: float, rounds: int) -> None:
    """Start both, compare, print."""
    await postgres.ensure_database("ours")
    limits = {f"VOICEHELPER_LIMITS__{name}": str(10**9) for name in _UNLIMITED}
    ours = limits | {
        "VOICEHELPER_HOME": str(home),
        "VOICEHELPER_POSTGRES_URL": postgres.url("ours"),
        "VOICEHELPER_REDIS_URL": valkey.url(),
        "VOICEHELPER_IDENTITY__ADMIN_PASSWORD": PASSWORD,
    }
    async with served("ours", ours):  # migrates, makes the administrator
        pass
    tenant, user = await seed(postgres.url("ours"))
    admin = await asyncpg.connect(postgres.url("postgres"))
    await admin.execute("CREATE DATABASE bare TEMPLATE ours")
    await admin.close()
    bare = {"VOICEHELPER_POSTGRES_URL": postgres.url("bare"), "BENCH_TENANT": tenant, "BENCH_USER": user}
    async with served("ours", ours) as (our_process, our_port), served("bare", bare) as (bare_process, bare_port):
        servers = [
            await opened("ours", our_process, our_port, await login(our_port)),
            await opened("bare", bare_process, bare_port, "x"),
        ]
        found = await compare(servers, seconds, rounds)
    figures = ("p50 ms", "p95 ms", "req/s", "CPU ms")
    head = (
        "request",
        "clients",
        *(f"{name} {figure}" for name in ("ours", "bare") for figure in figures),
        "req/s ratio",
    )
    print(table(head, rows(found)))
    print("\nCPU ms: of the server's process, a request. Ratio: ours to bare.")
    failures = {key: measured.failures for key, measured in found.items() if measured.failures}
    print(f"\nFailed requests: {failures or 'none'}")


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a round")
    parser.add_argument("--rounds", type=int, default=3, help="of each request, clients and server")
    arguments = parser.parse_args()
    with engines() as (postgres, valkey, folder):
        asyncio.run(measure(postgres, valkey, folder / "home", arguments.seconds, arguments.rounds))


if __name__ == "__main__":
    main()
