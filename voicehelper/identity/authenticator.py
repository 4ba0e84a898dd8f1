"""From a credential to who it speaks for: the only way into the platform.

A credential that was verified is known by its SHA-256 from then on. What it still has to pass at every request costs a
few look-ups in this process: is the identity feed fresh, has it expired, has anything it rests on changed.
"""

import hashlib
import hmac
from dataclasses import dataclass
from uuid import UUID

from voicehelper.errors import TokenExpired, TokenRevoked, Unauthenticated, Unavailable, VoiceHelperError
from voicehelper.identity.feed import IdentityFeed, Subject
from voicehelper.identity.key_ring import SigningKeys
from voicehelper.identity.key_uses import KeyUses
from voicehelper.identity.lru import Lru
from voicehelper.identity.model import Principal
from voicehelper.identity.opaque_tokens import API_KEY
from voicehelper.identity.standing import ApiKeyFacts, PrincipalRepository, Standing, Standings
from voicehelper.identity.tokens import LEEWAY_S, Claims, TokenVerifier
from voicehelper.ports.clock import Clock
from voicehelper.telemetry import metrics

_REMEMBERED = 20_000
_LONGEST = 4096
_NEVER = float("inf")
_LOOK_S = 30.0


@dataclass(slots=True)
class _Entry:
    """A verified credential.

    Attributes:
        until: Unix time from which it is expired.
        family: whose revocation ends it: the login's id, a visitor's conversation.
        subjects, seq: what must not have changed after this position of the feed.
    """

    principal: Principal
    until: float
    family: UUID | None
    subjects: tuple[Subject, ...]
    seq: int


class Authenticator:
    """Verifies access tokens and API keys."""

    def __init__(
        self,
        *,
        verifier: TokenVerifier,
        keys: SigningKeys,
        feed: IdentityFeed,
        standings: Standings,
        repository: PrincipalRepository,
        uses: KeyUses,
        clock: Clock,
    ) -> None:
        self._verifier = verifier
        self._keys = keys
        self._feed = feed
        self._standings = standings
        self._repository = repository
        self._uses = uses
        self._clock = clock
        self._entries: Lru[bytes, _Entry] = Lru(_REMEMBERED)
        self._api_keys: Lru[UUID, tuple[ApiKeyFacts, int]] = Lru(_REMEMBERED)

    async def authenticate(self, credential: str) -> Principal:
        """Who `credential` (an access token or an API key) speaks for, and what it may do now.

        Raises:
            TokenExpired, TokenRevoked: it was good once.
            Unauthenticated: it never was.
            Unavailable: this cannot be told at the moment. Nobody is let in then.
        """
        try:
            principal = (await self._entry(credential)).principal
        except VoiceHelperError as error:
            metrics.REFUSED_CREDENTIALS.labels(type(error).__name__).inc()
            raise
        if principal.key_id is not None:
            self._uses.note(principal.key_id, self._clock.now())
        return principal

    async def check(self, principal: Principal) -> Principal:
        """`principal` as it stands now, for a connection that outlives its first request. Cheap while nothing changed.

        Raises as `authenticate` does.
        """
        self._feed.require_fresh()
        if principal.expires_at is not None and self._clock.now() >= principal.expires_at + LEEWAY_S:
            raise TokenExpired
        if principal.key_id is not None:
            facts, seq = await self._api_key_facts(principal.key_id)
            return (await self._key_entry(facts, seq)).principal
        claims = Claims(
            principal.user_id,
            principal.tenant_id,
            principal.role,
            principal.kind,
            principal.session_id,
            principal.conversation_id,
            principal.expires_at or _NEVER,
        )
        return (await self._token_entry(claims)).principal

    async def until_refused(self, principal: Principal) -> VoiceHelperError:
        """Wait until `principal` is no longer let in, and return why. `Unavailable` is waited out."""
        while True:
            try:
                await self.check(principal)
            except Unauthenticated as error:
                return error
            except Unavailable:
                await self._clock.sleep(1.0)
            else:
                left = (principal.expires_at or _NEVER) + LEEWAY_S - self._clock.now()
                await self._feed.news(max(0.0, min(left, _LOOK_S)))

    async def _entry(self, credential: str) -> _Entry:
        self._feed.require_fresh()
        if len(credential) > _LONGEST or not credential.isascii():
            raise Unauthenticated
        digest = hashlib.sha256(credential.encode()).digest()
        entry = self._entries.get(digest)
        if entry is None or not self._holds(entry):
            entry = await (
                self._api_key(credential) if credential.startswith(API_KEY.prefix) else self._token(credential)
            )
            self._entries.put(digest, entry)
        return entry

    def _holds(self, entry: _Entry) -> bool:
        """Whether the entry is still good; False where it must be looked up anew."""
        if self._clock.now() >= entry.until:
            raise TokenExpired
        position = self._feed.position
        if entry.seq != position:
            if self._feed.revoked(entry.family):
                raise TokenRevoked
            if self._feed.changed_since(entry.seq, entry.subjects):
                return False
            entry.seq = position
        return True

    async def _token(self, token: str) -> _Entry:
        try:
            claims = self._verifier.verify(token)
        except TokenExpired:
            raise
        except Unauthenticated:
            kid = self._verifier.unknown_kid(token)
            if kid is None or not await self._keys.refresh_for(kid):
                raise
            claims = self._verifier.verify(token)  # signed with a key made a moment ago
        return await self._token_entry(claims)

    async def _token_entry(self, claims: Claims) -> _Entry:
        standing = await self._standings.of(claims.tenant_id, claims.user_id)
        family = claims.session_id or claims.conversation_id
        if self._feed.revoked(family) or standing is None or not standing.facts.active:
            raise TokenRevoked
        if (standing.facts.kind == "visitor") != (claims.kind == "visitor"):
            raise Unauthenticated
        principal = Principal(
            claims.user_id,
            claims.tenant_id,
            standing.facts.role,
            standing.permissions,
            claims.kind,
            claims.session_id,
            None,
            claims.conversation_id,
            claims.expires_at,
        )
        return _Entry(principal, claims.expires_at + LEEWAY_S, family, standing.subjects, standing.seq)

    async def _api_key(self, text: str) -> _Entry:
        parsed = API_KEY.parse(text)
        if parsed is None:
            raise Unauthenticated
        facts, seq = await self._api_key_facts(parsed.id)
        if not hmac.compare_digest(facts.secret_hash, parsed.secret_hash):
            raise Unauthenticated
        return await self._key_entry(facts, seq)

    async def _key_entry(self, facts: ApiKeyFacts, seq: int) -> _Entry:
        standing = await self._standings.of(facts.tenant_id, facts.user_id)
        if facts.revoked or standing is None or not standing.facts.active:
            raise TokenRevoked
        if facts.expires_at is not None and self._clock.now() >= facts.expires_at:
            raise TokenExpired
        subjects = (*standing.subjects, _key_subject(facts.id))
        until = _NEVER if facts.expires_at is None else facts.expires_at
        return _Entry(_key_principal(facts, standing), until, None, subjects, min(seq, standing.seq))

    async def _api_key_facts(self, key_id: UUID) -> tuple[ApiKeyFacts, int]:
        known = self._api_keys.get(key_id)
        if known is not None and not self._feed.changed_since(known[1], (_key_subject(key_id),)):
            return known
        seq = self._feed.position
        facts = await self._repository.api_key(key_id)
        if facts is None:
            self._api_keys.drop(key_id)
            raise Unauthenticated
        self._api_keys.put(key_id, (facts, seq))
        return facts, seq


def _key_subject(key_id: UUID) -> Subject:
    return "key", key_id


def _key_principal(facts: ApiKeyFacts, standing: Standing) -> Principal:
    """A key may do what both it and its user may."""
    return Principal(
        facts.user_id,
        facts.tenant_id,
        standing.facts.role,
        facts.permissions & standing.permissions,
        "key",
        key_id=facts.id,
        expires_at=facts.expires_at,
    )
