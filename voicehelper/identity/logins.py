"""Logging in and out, and one's own account."""

import asyncio
from weakref import WeakValueDictionary

from voicehelper.context import current_context
from voicehelper.errors import AccountLocked, InvalidCredentials, InvalidInput, Unauthenticated
from voicehelper.identity.acts import Acts, act_of, anonymous_act
from voicehelper.identity.audit import AuditEntry, Outcome
from voicehelper.identity.lockout import Attempt, Lockout
from voicehelper.identity.model import Principal, TokenPair, User, UserRepository, normalise_email
from voicehelper.identity.password_rules import check_password
from voicehelper.identity.passwords import Passwords
from voicehelper.identity.sessions import Sessions
from voicehelper.telemetry import get_logger, metrics

log = get_logger(__name__)


class Logins:
    """Turns passwords into sessions."""

    def __init__(
        self,
        users: UserRepository,
        passwords: Passwords,
        sessions: Sessions,
        lockout: Lockout,
        acts: Acts,
    ) -> None:
        self._users = users
        self._passwords = passwords
        self._sessions = sessions
        self._lockout = lockout
        self._acts = acts
        self._turns: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    async def login(self, email: str, password: str, client: str = "") -> TokenPair:
        """A new session.

        Unknown, disabled and known accounts cannot be told apart: same answers, same work, same locks.

        Args:
            email: as typed.
            password: as typed.
            client: what the client calls itself, for the list of sessions.

        Raises:
            InvalidCredentials: unknown or disabled account, or wrong password.
            AccountLocked: too many failures of this account or from this address.
            Overloaded: too many logins at once.
        """
        user = await self._checked(normalise_email(email), password)
        new_hash = await self._passwords.hash(password) if self._passwords.outdated(user.password_hash) else None
        async with self._acts.unit(user.tenant_id):
            # A password that was changed while this one was checked ends every session: this one must not begin then.
            if not await self._users.record_login(user, self._acts.now(), new_hash):
                raise InvalidCredentials
            pair = await self._sessions.begin(user, client)
        metrics.LOGINS.labels("accepted").inc()
        log.info("login.accepted", user_id=str(user.id), tenant_id=str(user.tenant_id))
        return pair

    async def account(self, principal: Principal) -> User:
        """The account of `principal`. Raises `Unauthenticated` when it is gone or disabled."""
        user = await self._users.get(principal.tenant_id, principal.user_id)
        if user is None or not user.active:
            raise Unauthenticated
        return user

    async def change_password(self, by: Principal, present: str, wanted: str) -> None:
        """Replace one's own password; every other session of the account ends.

        Raises:
            InvalidCredentials: `present` is not the password; it counts as a failed login.
            InvalidInput: the caller has no password (API keys and visitors), or the new one is the old one.
            WeakPassword: see `check_password`.
            AccountLocked, Overloaded: as `login`.
        """
        account = await self.account(by)
        if by.kind != "user" or not account.password_hash:
            raise InvalidInput("Only a logged-in user can change the password")
        await check_password(wanted, email=account.email)
        if wanted == present:
            raise InvalidInput("The new password is the old one")
        checked = await self._checked(account.email, present)
        with self._passwords.admitted():
            hashed = await self._passwords.hash(wanted)
        async with self._acts.unit(by.tenant_id):
            at, replacing = self._acts.now(), checked.password_hash
            if not await self._users.set_password(by.tenant_id, by.user_id, hashed, at, replacing):
                raise InvalidCredentials
            await self._acts.audit.record(act_of(by, "user.password_changed", "user", by.user_id))
            await self._sessions.end_all(by, by.user_id, "password_changed", keep=by.session_id)

    async def _checked(self, email: str, password: str) -> User:
        """The active user whose password this is. One password per account at a time: parallel logins of one account
        with the right password must not count as each other's failures."""
        turn = self._turns.setdefault(self._lockout.account_key(email), asyncio.Lock())
        with self._passwords.admitted():
            # Counted only once it can be checked: who gives up waiting has not guessed.
            async with turn, self._passwords.slot():
                attempt = await self._begin(email)
                user = await self._users.by_email(email)
                matches = await self._passwords.check(user.password_hash if user else None, password)
                if user is not None and matches and user.active:
                    await self._lockout.passed(attempt)
                    return user
        await self._refused(user, attempt)
        raise InvalidCredentials

    async def _begin(self, email: str) -> Attempt:
        try:
            return await self._lockout.begin(email, current_context().address)
        except AccountLocked:
            user = await self._users.by_email(email)
            await self._acts.audit.record(_failure(user, "login.refused", "denied"))
            metrics.LOGINS.labels("locked").inc()
            raise

    async def _refused(self, user: User | None, attempt: Attempt) -> None:
        locked = self._lockout.locks(attempt)
        entry = _failure(user, "login.failed", "failure", failures=attempt.failures, locked=locked)
        await self._acts.audit.record(entry)
        metrics.LOGINS.labels("refused").inc()
        log.warning("login.refused", known=user is not None, locked=locked)


def _failure(user: User | None, action: str, outcome: Outcome, **why: object) -> AuditEntry:
    return anonymous_act(user.tenant_id if user else None, action, user.id if user else None, outcome, **why)
