"""`voicehelper keys list | rotate`: the keys that sign access tokens. Needs the database, not the API."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import typer

from voicehelper.config import Settings
from voicehelper.errors import VoiceHelperError
from voicehelper.identity.audit import AuditEntry
from voicehelper.identity.key_ring import StoredKey
from voicehelper.ports.clock import SystemClock
from voicehelper.stores.authentication import signing_keys
from voicehelper.stores.postgres.audit import PostgresAuditLog
from voicehelper.stores.postgres.migrate import migrate
from voicehelper.stores.postgres.pool import Pool, create_pool
from voicehelper.stores.postgres.signing_keys import PostgresSigningKeys

T = TypeVar("T")
_ROW = "{:43}  {:23}  {:23}  {}"


def register(app: typer.Typer) -> None:
    """Add the `keys` group to the command line."""
    keys = typer.Typer(help="The keys that sign access tokens.", no_args_is_help=True)
    keys.command("list")(list_keys)
    keys.command("rotate")(rotate)
    app.add_typer(keys, name="keys")


def list_keys() -> None:
    """Show the keys that verify tokens, the one that signs latest first."""
    settings = Settings()
    typer.echo(_ROW.format("key", "made", "signs from", "verifies until").rstrip())
    for key in _run(settings, lambda pool: PostgresSigningKeys(pool).all()):
        until = _moment(key.verifies_until) if key.verifies_until else ""
        typer.echo(_ROW.format(key.kid, _moment(key.created_at), _moment(key.signs_from), until).rstrip())


def rotate() -> None:
    """Make a new key. It signs a few seconds later; nobody is logged out, tokens of the old keys stay good."""
    settings = Settings()
    key = _run(settings, lambda pool: _rotate(settings, pool))
    typer.echo(f"{key.kid} signs from {_moment(key.signs_from)}")


async def _rotate(settings: Settings, pool: Pool) -> StoredKey:
    key = await signing_keys(settings, pool, SystemClock()).rotate()
    entry = AuditEntry(None, "signing_key.rotated", "system", resource="signing_key", resource_id=key.kid)
    await PostgresAuditLog(pool).record(entry)
    return key


def _run(settings: Settings, work: Callable[[Pool], Awaitable[T]]) -> T:
    """The result of `work` on the database; ends the command where that fails."""

    async def connected() -> T:
        await migrate(settings.postgres_dsn())
        pool = await create_pool(settings.postgres_dsn(), max_size=2)
        try:
            return await work(pool)
        finally:
            await pool.close()

    try:
        return asyncio.run(connected())
    except VoiceHelperError as error:
        typer.echo(f"voicehelper keys: {error}", err=True)
        raise typer.Exit(1) from error


def _moment(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
