"""Tokens, keys and secret files."""

import base64
import hmac
import json
import stat
from pathlib import Path

import jwt
import pytest
from argon2 import PasswordHasher
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from voicehelper.config import IdentitySettings, Settings
from voicehelper.errors import TokenExpired, Unauthenticated, Unavailable
from voicehelper.identity import Passwords, SigningKey, TokenIssuer, TokenVerifier, User
from voicehelper.identity.files import publish_once, replace_secret
from voicehelper.identity.keys import jwk, key_file, new_pem, public_pem
from voicehelper.ids import new_id
from voicehelper.ports.clock import FakeClock, SystemClock

KEY = SigningKey(rsa.generate_private_key(65537, 2048), "k1")
OTHER = SigningKey(rsa.generate_private_key(65537, 2048), "k1")
USER = User(new_id(), new_id(), "a@example.com", "x", "admin")
SESSION = new_id()


def test_a_token_says_who_and_expires() -> None:
    clock = FakeClock()
    token = TokenIssuer(KEY, clock, "iss", 60).issue(USER, SESSION)
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
        TokenIssuer(OTHER, clock, "iss").issue(USER, SESSION).token,
        TokenIssuer(KEY, clock, "another").issue(USER, SESSION).token,
        TokenIssuer(KEY, FakeClock(clock.time + 100), "iss").issue(USER, SESSION).token,
        "",
        "a.b.c",
        "é.é.é",
    ]
    for token in foreign:
        with pytest.raises(Unauthenticated):
            verifier.verify(token)


GOOD = {
    "iss": "iss",
    "sub": str(USER.id),
    "tid": str(USER.tenant_id),
    "sid": str(SESSION),
    "role": "admin",
    "kind": "user",
    "iat": 1,
    "exp": 2**31,
}


def test_the_good_claims_are_good() -> None:
    token = jwt.encode(GOOD, KEY.private, "RS256", {"kid": "k1"})
    assert TokenVerifier(KEY, FakeClock(), "iss").verify(token).session_id == SESSION


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"sid": None},
        {"sid": "x"},
        {"kind": "admin"},
        {"kind": ["user"]},
        {"kind": "visitor"},
        {"cid": str(SESSION)},
        {"exp": True},
        {"exp": "2000000000"},
        {"exp": float("inf")},
        {"exp": 10**400},
        {"iat": float("-inf")},
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
    body = {**GOOD, **claims} if claims else {"iss": "iss"}
    token = jwt.encode(body, KEY.private, "RS256", {"kid": "k1"})
    with pytest.raises(Unauthenticated):
        TokenVerifier(KEY, clock, "iss").verify(token)


def test_a_visitors_token_names_its_conversation() -> None:
    clock = FakeClock()
    conversation = new_id()
    token = TokenIssuer(KEY, clock, "iss").issue_visitor(USER, conversation, 60)
    claims = TokenVerifier(KEY, clock, "iss").verify(token.token)
    assert (claims.kind, claims.conversation_id, claims.session_id) == ("visitor", conversation, None)
    assert claims.expires_at == clock.time + token.expires_in == clock.time + 60


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def signed(header: object) -> str:
    """The good claims under another header, with a good signature."""
    text = f"{header if isinstance(header, str) else encoded(header)}.{encoded(GOOD)}"
    signature = KEY.private.sign(text.encode(), PKCS1v15(), SHA256())
    return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "kid": "k1", "typ": "JWT"},
        {"alg": "HS256", "kid": "k1", "typ": "JWT"},
        {"alg": "PS256", "kid": "k1", "typ": "JWT"},
        {"alg": "rs256", "kid": "k1", "typ": "JWT"},
        {"alg": "RS256", "kid": "k1"},
        {"alg": "RS256", "kid": "k2", "typ": "JWT"},
        {"alg": "RS256", "kid": None, "typ": "JWT"},
        {"alg": "RS256", "kid": ["k1"], "typ": "JWT"},
        {"alg": "RS256", "kid": "../k1", "typ": "JWT"},
        {"alg": "RS256", "typ": "JWT"},
        {"alg": "RS256", "kid": "k1", "typ": "JWT", "crit": ["b64"], "b64": False},
        {"alg": "RS256", "kid": "k1", "typ": "JWT", "jwk": {"kty": "RSA"}},
        {"alg": "RS256", "kid": "k1", "typ": "JWT", "jku": "https://example.com"},
        [],
        "RS256",
        None,
        "",
        "%%%",
    ],
)
def test_only_headers_of_ours_pass(header: object) -> None:
    verifier = TokenVerifier(KEY, FakeClock(), "iss")
    verifier.verify(signed({"alg": "RS256", "kid": "k1", "typ": "JWT"}))
    with pytest.raises(Unauthenticated):
        verifier.verify(signed(header))


def test_a_changed_byte_anywhere_is_refused() -> None:
    clock = FakeClock()
    token = TokenIssuer(KEY, clock, "iss").issue(USER, SESSION).token
    verifier = TokenVerifier(KEY, clock, "iss")
    verifier.verify(token)  # its header is known from now on
    changed = [token[:i] + ("A" if token[i] != "A" else "B") + token[i + 1 :] for i in range(len(token) - 1)]
    others = [*changed, token + "=", token + "A", f" {token}", f"{token}.", token.replace(".", "..", 1), token[:-20]]
    for other in others:
        with pytest.raises(Unauthenticated):
            verifier.verify(other)


def test_a_public_key_is_no_hmac_secret() -> None:
    token = f"{encoded({'alg': 'HS256', 'kid': 'k1', 'typ': 'JWT'})}.{encoded(GOOD)}"
    mac = hmac.digest(public_pem(KEY.public).encode(), token.encode(), "sha256")
    with pytest.raises(Unauthenticated):
        TokenVerifier(KEY, FakeClock(), "iss").verify(f"{token}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}")


def test_any_library_can_verify_our_tokens_with_the_published_key() -> None:
    token = TokenIssuer(KEY, SystemClock(), "iss").issue(USER, SESSION).token
    published = jwt.PyJWK.from_dict(jwk("k1", KEY.public))
    claims = jwt.decode(token, published, algorithms=["RS256"], issuer="iss")
    assert (claims["sub"], claims["sid"]) == (str(USER.id), str(SESSION))


def settings(home: Path, file: Path | None = None) -> Settings:
    return Settings(home=home, identity=IdentitySettings(signing_key_file=file))


def test_an_installation_brings_its_key_along(tmp_path: Path) -> None:
    assert key_file(settings(tmp_path)) is None
    old = tmp_path / "keys" / "jwt.pem"
    publish_once(old, pem(KEY.private))
    assert key_file(settings(tmp_path)) == old.read_bytes()
    mine = tmp_path / "mine.pem"
    mine.write_bytes(new_pem())
    assert key_file(settings(tmp_path, mine)) == mine.read_bytes()
    with pytest.raises(Unavailable, match=r"absent\.pem"):
        key_file(settings(tmp_path, tmp_path / "absent.pem"))


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
        key_file(settings(tmp_path, file))
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
