"""Accounts on PostgreSQL: the use cases of identity with their repositories."""

from functools import partial

from voicehelper.config import IdentitySettings
from voicehelper.identity.accounts import Accounts
from voicehelper.identity.acts import Acts
from voicehelper.identity.api_keys import ApiKeys
from voicehelper.identity.lockout import Lockout
from voicehelper.identity.logins import Logins
from voicehelper.identity.passwords import Passwords
from voicehelper.identity.roles import Roles
from voicehelper.identity.secrets import derive_key
from voicehelper.identity.sessions import Issuer, Sessions
from voicehelper.identity.tenants import Tenants
from voicehelper.identity.users import UserDirectory
from voicehelper.identity.visitors import Visitors
from voicehelper.ports.clock import Clock
from voicehelper.stores.postgres.api_keys import PostgresApiKeys
from voicehelper.stores.postgres.audit import PostgresAuditLog
from voicehelper.stores.postgres.guard import request_transaction
from voicehelper.stores.postgres.identity import PostgresUsers
from voicehelper.stores.postgres.login_failures import PostgresLoginFailures
from voicehelper.stores.postgres.pool import Pool
from voicehelper.stores.postgres.roles import PostgresRoles
from voicehelper.stores.postgres.sessions import PostgresSessions
from voicehelper.stores.postgres.tenants import PostgresTenants
from voicehelper.stores.postgres.visitors import PostgresVisitors


def postgres_accounts(
    pool: Pool, *, settings: IdentitySettings, clock: Clock, issuer: Issuer, passwords: Passwords, master: bytes
) -> Accounts:
    """All of it.

    Args:
        pool: of the migrated database.
        settings: lives of tokens, lockout.
        clock: wall time.
        issuer: signs access tokens.
        passwords: the hasher, one for the process: it limits what is hashed at the same time.
        master: the master key (`load_master_key`).
    """
    acts = Acts(PostgresAuditLog(pool), partial(request_transaction, pool), clock)
    access_s, visitor_s = settings.access_token_s, settings.visitor_token_s
    users = PostgresUsers(pool, access_s)
    sessions = Sessions(PostgresSessions(pool, access_s), users, issuer, acts, settings)
    lockout = Lockout(PostgresLoginFailures(pool), clock, derive_key(master, "login-failures"), settings)
    roles = Roles(PostgresRoles(pool, access_s), acts)
    return Accounts(
        logins=Logins(users, passwords, sessions, lockout, acts),
        sessions=sessions,
        users=UserDirectory(
            users=users, roles=roles, sessions=sessions, passwords=passwords, lockout=lockout, acts=acts
        ),
        roles=roles,
        tenants=Tenants(PostgresTenants(pool, max(access_s, visitor_s)), passwords, acts),
        api_keys=ApiKeys(PostgresApiKeys(pool), acts),
        visitors=Visitors(PostgresVisitors(pool, visitor_s), users, issuer, acts, settings),
        audit=acts.audit,
        lockout=lockout,
    )
