"""Tokens, keys and secret files."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jwt
import pytest
from argon2 import PasswordHasher
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from voicehelper.config import IdentitySettings, Settings
from voicehelper.errors import TokenExpired, Unauthenticated, Unavailable
from voicehelper.identity import Passwords, SigningKey, TokenIssuer, TokenVerifier, User, load_signing_key
from voicehelper.identity.files import publish_once, replace_secret
from voicehelper.ids import new_id
from voicehelper.ports.clock import FakeClock

KEY = SigningKey(rsa.generate_private_key(65537, 2048), "k1")
OTHER = SigningKey(rsa.generate_private_key(65537, 2048), "k1")
USER = User(new_id(), new_id(), "a@example.com", "x", "admin")


def test_a_token_says_who_and_expires() -> None:
    clock = FakeClock()
    token = TokenIssuer(KEY, clock, "iss", 60).issue(USER)
    verifier = TokenVerifier(KEY, clock, "iss")
    principal = verifier.verify(token.token)
    assert (principal.user_id, principal.tenant_id, principal.role) == (USER.id, USER.tenant_id, "admin")
    assert jwt.get_unverified_header(token.token)["kid"] == "k1"
    clock.time += 59
    verifier.verify(token.token)
    clock.time += 10
    with pytest.raises(TokenExpired):
        verifier.verify(token.token)


def test_foreign_tokens_are_refused() -> None:
    clock = FakeClock()
    verifier = TokenVerifier(KEY, clock, "iss")
    foreign = [
        TokenIssuer(OTHER, clock, "iss").issue(USER).token,
        TokenIssuer(KEY, clock, "another").issue(USER).token,
        TokenIssuer(KEY, FakeClock(clock.time + 100), "iss").issue(USER).token,
        "",
        "a.b.c",
        "é.é.é",
    ]
    for token in foreign:
        with pytest.raises(Unauthenticated):
            verifier.verify(token)


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"sub": "no-uuid"},
        {"tid": None},
        {"exp": "soon"},
        {"exp": None},
        {"iat": [1]},
        {"exp": float("nan")},
    ],
)
def test_signed_nonsense_is_refused(claims: dict[str, object]) -> None:
    clock = FakeClock()
    good = {"iss": "iss", "sub": str(USER.id), "tid": str(USER.tenant_id), "role": "admin", "iat": 1, "exp": 2**31}
    body = {**good, **claims} if claims else {"iss": "iss"}
    token = jwt.encode(body, KEY.private, "RS256", {"kid": "k1"})
    with pytest.raises(Unauthenticated):
        TokenVerifier(KEY, clock, "iss").verify(token)


def settings(home: Path, file: Path | None = None) -> Settings:
    return Settings(home=home, identity=IdentitySettings(signing_key_file=file))


def test_the_key_is_made_once_and_private(tmp_path: Path) -> None:
    first = load_signing_key(settings(tmp_path))
    path = tmp_path / "keys" / "jwt.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_signing_key(settings(tmp_path)).kid == first.kid
    assert [entry.name for entry in path.parent.iterdir()] == ["jwt.pem"]


def test_racing_processes_end_up_with_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        kids = {key.kid for key in threads.map(lambda _: load_signing_key(settings(tmp_path)), range(4))}
    assert len(kids) == 1


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"not a key", pem(ec.generate_private_key(ec.SECP256R1())), pem(rsa.generate_private_key(65537, 1024))],
)
def test_an_unusable_key_is_told_plainly(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "mine.pem"
    file.write_bytes(content)
    with pytest.raises(Unavailable, match=r"mine\.pem"):
        load_signing_key(settings(tmp_path, file))
    assert file.read_bytes() == content


def test_secret_files_are_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "secret"
    assert publish_once(path, b"one")
    assert not publish_once(path, b"two")
    assert path.read_bytes() == b"one"
    replace_secret(path, b"three")
    assert path.read_bytes() == b"three"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["secret"]


async def test_passwords_verify_and_notice_old_parameters() -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)
    strong = PasswordHasher(time_cost=2, memory_cost=1024, parallelism=1)
    hashed = await Passwords(weak).hash("密码")
    passwords = Passwords(strong)
    assert await passwords.verify(hashed, "密码")
    assert not await passwords.verify(hashed, "x")
    assert not await passwords.verify("$argon2id$broken", "x")
    assert not await passwords.verify("", "x")
    assert passwords.outdated(hashed)
    assert not Passwords(weak).outdated(hashed)


async def test_an_unknown_account_costs_a_verification_too() -> None:
    class Counting(PasswordHasher):
        verified = 0

        def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]
            Counting.verified += 1
            return super().verify(hash, password)

    passwords = Passwords(Counting(time_cost=1, memory_cost=1024, parallelism=1))
    assert not await passwords.verify(None, "x")
    assert Counting.verified == 1
