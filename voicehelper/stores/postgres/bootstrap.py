"""The first account of an installation."""

from voicehelper.config import Settings
from voicehelper.identity import AdminCredentials, Passwords, ensure_configured_admin
from voicehelper.stores.postgres.identity import PostgresUsers
from voicehelper.stores.postgres.pool import create_pool


async def bootstrap_admin(settings: Settings) -> AdminCredentials | None:
    """Make sure that there is an administrator; credentials lie in `<home>/keys/admin.json` (mode 0600).

    Returns and raises as `voicehelper.identity.ensure_admin` does; the database must be migrated.
    """
    pool = await create_pool(settings.postgres_dsn(), max_size=1)
    try:
        return await ensure_configured_admin(settings, PostgresUsers(pool), Passwords())
    finally:
        await pool.close()
