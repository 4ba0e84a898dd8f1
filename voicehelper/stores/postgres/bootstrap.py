"""The first account of an installation."""

from voicehelper.config import Settings
from voicehelper.identity.admin import DEFAULT_EMAIL, AdminCredentials, ensure_admin
from voicehelper.identity.passwords import Passwords
from voicehelper.stores.postgres.identity import PostgresUsers
from voicehelper.stores.postgres.pool import create_pool


async def bootstrap_admin(
    settings: Settings, email: str = DEFAULT_EMAIL, password: str | None = None
) -> AdminCredentials | None:
    """Make sure that there is an administrator; credentials lie in `<home>/keys/admin.json` (mode 0600).

    Returns and raises as `voicehelper.identity.ensure_admin` does; the database must be migrated.
    """
    pool = await create_pool(settings.postgres_dsn(), max_size=1)
    try:
        path = settings.home / "keys" / "admin.json"
        return await ensure_admin(PostgresUsers(pool), Passwords(), path, email, password)
    finally:
        await pool.close()
