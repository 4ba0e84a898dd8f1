"""The real engines behind the gateway's layers, in a temporary folder."""

import asyncio
import base64
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from pydantic import SecretStr

from voicehelper.config import IdentitySettings, Settings
from voicehelper.embedded.ports import random_port
from voicehelper.embedded.process import EngineError, stop
from voicehelper.embedded.valkey import EmbeddedValkey
from voicehelper.identity import Authenticator, Principal
from voicehelper.identity.secrets import SecretBox
from voicehelper.ports.clock import SystemClock
from voicehelper.stores.authentication import authentication
from voicehelper.stores.postgres.idempotency import PostgresIdempotency
from voicehelper.stores.postgres.identity import PostgresUsers
from voicehelper.stores.postgres.pool import create_pool
from voicehelper.stores.postgres.wakeups import Wakeups
from voicehelper.stores.rate_limits import RedisLimiter
from voicehelper.stores.redis import connect_redis

MASTER = b"m" * 32


@dataclass(frozen=True)
class Parts:
    """What the layers need, and somebody who is logged in."""

    authenticator: Authenticator
    idempotency: PostgresIdempotency
    counters: RedisLimiter
    principal: Principal
    token: str


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
async def open_parts(postgres_url: str, valkey: EmbeddedValkey, home: Path, window_s: float) -> AsyncIterator[Parts]:
    """Open connections, and follow the identity feed meanwhile."""
    await _answering(valkey)
    key = SecretStr(base64.b64encode(MASTER).decode())
    settings = Settings(home=home, identity=IdentitySettings(master_key=key))
    async with AsyncExitStack() as opened:
        pool = await create_pool(postgres_url, max_size=4)
        opened.push_async_callback(pool.close)
        wakeups, link, counters = Wakeups(pool), connect_redis(valkey.url()), RedisLimiter(valkey.url(), window_s)
        for engine in (link, wakeups, counters):
            opened.push_async_callback(engine.close)
        stack = authentication(settings, pool, wakeups, link, SystemClock())
        await stack.start()
        following = asyncio.create_task(stack.run())
        opened.callback(following.cancel)
        user = await PostgresUsers(pool).create_admin("bench", "bench@example.com", "x")
        token = stack.issuer.issue(user, uuid4()).token
        principal = await stack.authenticator.authenticate(token)
        idempotency = PostgresIdempotency(pool, SecretBox(MASTER, "idempotency"))
        yield Parts(stack.authenticator, idempotency, counters, principal, token)


async def _answering(valkey: EmbeddedValkey) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await valkey.check()
            except EngineError:
                await asyncio.sleep(0.05)
            else:
                return
