"""The installation's signing keys: in the database, known to every replica, exchanged without logging anyone out.

A new key is published at once but signs only `lead_s` later, when every replica has heard of it. The old ones go on
verifying until the last token they signed has expired.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric import rsa

from voicehelper.errors import Unavailable
from voicehelper.identity.keys import SigningKey, jwk, new_pem, parse_public_key, parse_signing_key, public_pem
from voicehelper.identity.secrets import SecretBox
from voicehelper.ports.clock import Clock
from voicehelper.telemetry import get_logger

log = get_logger(__name__)

LEAD_S = 2.0
"""How long before its first signature a new key is published, in seconds: several polls of the identity feed."""
_SKEW_S = 60.0  # replicas' clocks
_REFRESH_S = 1.0  # at most one refresh in this time because of an unknown key id


class Keys(Protocol):
    """Keys as the issuer and the verifier of tokens see them. `now` is Unix time."""

    def signing(self, now: float) -> SigningKey:
        """The one that signs. Raises `Unavailable` when there is none."""
        ...

    def verifying(self, kid: str, now: float) -> rsa.RSAPublicKey | None:
        """The one of this id, while its tokens are good."""
        ...


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to store; the private half is sealed, bound to its id."""

    kid: str
    sealed: bytes
    public: str


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as stored. Times are Unix times; `verifies_until` is None for one that nothing has replaced yet."""

    kid: str
    sealed: bytes
    public: str
    created_at: float
    signs_from: float
    verifies_until: float | None


class SigningKeyRepository(Protocol):
    """Where keys lie. Raises `Unavailable`."""

    async def all(self) -> list[StoredKey]:
        """Every key that still verifies, the one that signs latest first."""
        ...

    async def add_first(self, key: NewKey) -> bool:
        """Store `key` to sign from now on, unless there is a key; returns whether this call did."""
        ...

    async def rotate(self, key: NewKey, lead_s: float, keep_s: float) -> StoredKey:
        """Store `key` to sign from `lead_s` on; those before it verify `keep_s` longer. Tells every replica."""
        ...


@dataclass(frozen=True, slots=True)
class _RingKey:
    stored: StoredKey
    public: rsa.RSAPublicKey
    private: SigningKey | None  # None where the master key cannot open it: it verifies only

    def verifies(self, now: float) -> bool:
        until = self.stored.verifies_until
        return until is None or now < until


class SigningKeys:
    """`Keys` of the database, as of the last `refresh`."""

    def __init__(
        self,
        repository: SigningKeyRepository,
        box: SecretBox,
        clock: Clock,
        token_life_s: float,
        imported: bytes | None = None,
    ) -> None:
        """`token_life_s`: of the longest-lived token; `imported`: a private key (PEM) to begin with."""
        self._repository = repository
        self._box = box
        self._clock = clock
        self._keep_s = token_life_s + _SKEW_S
        self._imported = imported
        self._ring: dict[str, _RingKey] = {}
        self._refreshed = 0.0
        self._refreshing = asyncio.Lock()

    async def start(self) -> None:
        """Load the keys; make or import the first. Any number of processes may do so at once: one key comes of it.

        Raises `Unavailable`: the database is away, or the master key opens none of its keys.
        """
        await self.refresh()
        if not self._ring:
            pem = await asyncio.to_thread(new_pem) if self._imported is None else self._imported
            if await self._repository.add_first(self._sealed(pem)):
                log.info("signing_key.created", imported=self._imported is not None)
            await self.refresh()
        self.signing(self._clock.now())

    async def refresh(self) -> None:
        """Read the keys anew."""
        async with self._refreshing:  # an older answer must not replace a newer one
            self._refreshed = self._clock.now()
            before, found = self._ring, await self._repository.all()
            self._ring = {stored.kid: self._opened(stored) for stored in found}
        for kid in self._ring.keys() - before.keys():
            log.info("signing_key.learned", kid=kid)

    async def refresh_for(self, kid: str) -> bool:
        """Read the keys anew because a token names one we have not; at most once a second. Whether it is there now."""
        if abs(self._clock.now() - self._refreshed) >= _REFRESH_S:
            await self.refresh()
        return kid in self._ring

    async def rotate(self, lead_s: float = LEAD_S) -> StoredKey:
        """A new key takes over in `lead_s` seconds, and nobody notices. Raises `Unavailable`."""
        key = self._sealed(await asyncio.to_thread(new_pem))
        return await self._repository.rotate(key, lead_s, self._keep_s)

    def signing(self, now: float) -> SigningKey:
        """The newest whose time has come; the oldest where our clock is behind all of them."""
        usable = [key for key in self._ring.values() if key.private is not None]
        due = [key for key in usable if key.stored.signs_from <= now] or usable[-1:]
        if not due or due[0].private is None:
            raise Unavailable(
                "The master key opens none of the signing keys: restore the key they were made with, "
                "or make a new one with `voicehelper keys rotate`"
            )
        return due[0].private

    def verifying(self, kid: str, now: float) -> rsa.RSAPublicKey | None:
        """The public key of this id, until its last token has expired."""
        key = self._ring.get(kid)
        return key.public if key is not None and key.verifies(now) else None

    def stored(self) -> Sequence[StoredKey]:
        """The keys, the one that signs latest first."""
        return [key.stored for key in self._ring.values()]

    def jwks(self) -> dict[str, Any]:
        """The JWK set (RFC 7517): every key that verifies now or will sign soon."""
        now = self._clock.now()
        return {"keys": [jwk(kid, key.public) for kid, key in self._ring.items() if key.verifies(now)]}

    def _sealed(self, pem: bytes) -> NewKey:
        key = parse_signing_key(pem)
        return NewKey(key.kid, self._box.seal(pem, key.kid.encode()), public_pem(key.public))

    def _opened(self, stored: StoredKey) -> _RingKey:
        known = self._ring.get(stored.kid)
        if known is not None:
            return _RingKey(stored, known.public, known.private)
        try:
            private = parse_signing_key(self._box.open(stored.sealed, stored.kid.encode()))
        except ValueError:
            log.error("signing_key.sealed_with_another_master_key", kid=stored.kid)
            private = None
        return _RingKey(stored, parse_public_key(stored.public), private)
