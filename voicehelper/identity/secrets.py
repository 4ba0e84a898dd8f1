"""What is stored encrypted: signing keys, responses kept for idempotency. All of it by one master key.

Every purpose has a key of its own (HKDF, RFC 5869), and every sealed text one more, from a random salt: AES-GCM loses
its strength when one key meets a nonce twice, and here no key is used twice.
"""

import base64
import binascii
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from voicehelper.config import Settings
from voicehelper.errors import Unavailable
from voicehelper.identity.files import publish_once

_KEY = 32
_VERSION = b"\x01"
_SALT, _NONCE = 16, 12


class SecretBox:
    """Seals bytes for one purpose. Safe to share between tasks and threads."""

    def __init__(self, master: bytes, purpose: str) -> None:
        """`master` as `load_master_key` gives it; what one `purpose` sealed, another cannot open."""
        self._key = derive_key(master, purpose)

    def seal(self, plain: bytes, bound_to: bytes = b"") -> bytes:
        """`plain` encrypted and authenticated, 45 bytes longer. Opens only with the same `bound_to` (the id of the row
        it lies in, say, so that sealed texts cannot be exchanged)."""
        salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
        return _VERSION + salt + nonce + AESGCM(_hkdf(self._key, b"", salt)).encrypt(nonce, plain, bound_to)

    def open(self, sealed: bytes, bound_to: bytes = b"") -> bytes:
        """What was sealed. Raises `ValueError` where this key did not seal it, or where it was altered."""
        salt, nonce = sealed[1 : 1 + _SALT], sealed[1 + _SALT : 1 + _SALT + _NONCE]
        if sealed[:1] != _VERSION or len(nonce) < _NONCE:
            raise ValueError("not a sealed text")
        try:
            return AESGCM(_hkdf(self._key, b"", salt)).decrypt(nonce, sealed[1 + _SALT + _NONCE :], bound_to)
        except InvalidTag as error:
            raise ValueError("sealed with another key, or altered") from error


def derive_key(master: bytes, purpose: str) -> bytes:
    """32 bytes that only the owner of `master` can make, different for every `purpose`: for HMACs and the like."""
    return _hkdf(master, purpose.encode())


def load_master_key(settings: Settings) -> bytes:
    """The 32 bytes of `identity.master_key`, else of `<home>/keys/master.key`, which is made on first use.

    Any number of processes of one machine may call this at once: all get the same key. Several machines need
    `VOICEHELPER_IDENTITY__MASTER_KEY`.

    Raises:
        Unavailable: it is not 32 bytes in base64, or the file cannot be read or written.
    """
    given = settings.identity.master_key
    if given is not None:
        return _decoded(given.get_secret_value(), "VOICEHELPER_IDENTITY__MASTER_KEY")
    path = settings.home / "keys" / "master.key"
    try:
        return _decoded(_read_or_make(path), str(path))
    except OSError as error:
        raise Unavailable(f"The master key {path} cannot be used: {error}") from error


def _read_or_make(path: Path) -> str:
    if not path.exists():
        publish_once(path, base64.b64encode(os.urandom(_KEY)) + b"\n")
    return path.read_text()


def _decoded(text: str, source: str) -> bytes:
    try:
        key = base64.b64decode(text.strip().replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Unavailable(f"{source} is not base64") from error
    if len(key) != _KEY:
        raise Unavailable(f"{source} holds {len(key)} bytes instead of {_KEY}")
    return key


def _hkdf(key: bytes, purpose: bytes, salt: bytes | None = None) -> bytes:
    return HKDF(algorithm=SHA256(), length=_KEY, salt=salt, info=purpose).derive(key)
