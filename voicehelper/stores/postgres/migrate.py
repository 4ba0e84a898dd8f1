"""Versioned SQL migrations with rollback.

Files `NNNN_name.up.sql` and `NNNN_name.down.sql` in `voicehelper/stores/migrations`. `schema_migrations` records what
was applied, with the checksum of the up file; an applied file that changed afterwards is an error, never skipped
silently. Each migration runs in its own transaction, and the whole run under one advisory lock, so that any number of
processes may call `migrate` at the same time.
"""

import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from voicehelper.errors import Conflict, Unavailable
from voicehelper.stores.postgres.pool import Connection

MIGRATIONS = Path(__file__).parent.parent / "migrations"

_LOCK = 0x766F696365  # "voice": the advisory lock's key
_FILE = re.compile(r"(\d{4})_(\w+)\.up\.sql")
_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""


class MigrationMismatch(Conflict):
    """The database and the migration files disagree."""

    code = 40990
    default_message = "The database was migrated with other files"


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema's history."""

    version: int
    name: str
    up: str
    down: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the up file."""
        return hashlib.sha256(self.up.encode()).hexdigest()


def load_migrations(folder: Path = MIGRATIONS) -> list[Migration]:
    """All migrations of `folder`, oldest first.

    Raises:
        ValueError: versions are not 1, 2, 3 ... or a down file is missing.
    """
    found = []
    for path in sorted(folder.glob("*.up.sql")):
        match = _FILE.fullmatch(path.name)
        down = path.with_name(path.name.replace(".up.sql", ".down.sql"))
        if match is None or not down.exists():
            raise ValueError(f"{path.name}: want NNNN_name.up.sql with a .down.sql beside it")
        found.append(Migration(int(match[1]), match[2], path.read_text(), down.read_text()))
    if [m.version for m in found] != list(range(1, len(found) + 1)):
        raise ValueError("migration versions must be 1, 2, 3 ... without gaps")
    return found


async def migrate(dsn: str, migrations: list[Migration] | None = None) -> list[int]:
    """Apply what is missing; returns the versions applied now.

    Raises:
        MigrationMismatch: an applied migration's file changed, or the database is newer than the files.
        Unavailable: the server cannot be reached.
    """
    migrations = load_migrations() if migrations is None else migrations
    async with _locked(dsn) as connection:
        applied = await _applied(connection)
        _check_history(applied, migrations)
        pending = [m for m in migrations if m.version not in applied]
        for migration in pending:
            async with connection.transaction():
                await connection.execute(migration.up)
                await connection.execute(
                    "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
                    migration.version,
                    migration.name,
                    migration.checksum,
                )
        return [m.version for m in pending]


async def rollback(dsn: str, to_version: int, migrations: list[Migration] | None = None) -> list[int]:
    """Undo every migration above `to_version`, newest first; returns the versions undone.

    Raises:
        MigrationMismatch: the database is newer than the files.
        Unavailable: the server cannot be reached.
    """
    migrations = load_migrations() if migrations is None else migrations
    async with _locked(dsn) as connection:
        applied = await _applied(connection)
        _check_history(applied, migrations)
        undo = [m for m in reversed(migrations) if m.version in applied and m.version > to_version]
        for migration in undo:
            async with connection.transaction():
                await connection.execute(migration.down)
                await connection.execute("DELETE FROM schema_migrations WHERE version = $1", migration.version)
        return [m.version for m in undo]


async def current_version(dsn: str) -> int:
    """Version of the database, 0 when nothing was applied."""
    async with _locked(dsn) as connection:
        return max(await _applied(connection), default=0)


@asynccontextmanager
async def _locked(dsn: str) -> AsyncIterator[Connection]:
    try:
        connection = await asyncpg.connect(dsn, timeout=10)
    except (OSError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError, TimeoutError) as error:
        raise Unavailable("The database cannot be reached") from error
    try:
        # A session lock: it is released when the connection ends, even if this process is killed.
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        await connection.execute(_TABLE)
        yield connection
    finally:
        await connection.close()


async def _applied(connection: Connection) -> dict[int, str]:
    rows = await connection.fetch("SELECT version, checksum FROM schema_migrations")
    return {row["version"]: row["checksum"] for row in rows}


def _check_history(applied: dict[int, str], migrations: list[Migration]) -> None:
    known = {m.version: m for m in migrations}
    for version, checksum in sorted(applied.items()):
        if version not in known:
            raise MigrationMismatch(f"The database has migration {version}, which this version does not know")
        if known[version].checksum != checksum:
            raise MigrationMismatch(f"Migration {version} ({known[version].name}) changed after it was applied")
