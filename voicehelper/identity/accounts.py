"""Everything that accounts are made of, as one."""

from dataclasses import dataclass

from voicehelper.errors import VoiceHelperError
from voicehelper.identity.api_keys import ApiKeys
from voicehelper.identity.audit import AuditLog
from voicehelper.identity.lockout import Lockout
from voicehelper.identity.logins import Logins
from voicehelper.identity.roles import Roles
from voicehelper.identity.sessions import Sessions
from voicehelper.identity.tenants import Tenants
from voicehelper.identity.users import UserDirectory
from voicehelper.identity.visitors import Visitors
from voicehelper.ports.clock import Clock
from voicehelper.telemetry import get_logger

log = get_logger(__name__)

_PRUNE_EVERY_S = 3600.0


@dataclass(frozen=True)
class Accounts:
    """The use cases of identity."""

    logins: Logins
    sessions: Sessions
    users: UserDirectory
    roles: Roles
    tenants: Tenants
    api_keys: ApiKeys
    visitors: Visitors
    audit: AuditLog
    lockout: Lockout

    async def prune(self) -> None:
        """Delete expired sessions, refresh tokens and counters of failed logins. Raises `Unavailable`."""
        await self.sessions.prune()
        await self.lockout.prune()

    async def keep_tidy(self, clock: Clock) -> None:
        """`prune` every hour, until cancelled."""
        while True:
            await clock.sleep(_PRUNE_EVERY_S)
            try:
                await self.prune()
            except VoiceHelperError as error:
                log.warning("identity.prune_postponed", error=str(error))
