"""The first administrator, and the file that tells the owner of the machine how to log in."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from voicehelper.config import IdentitySettings, Settings
from voicehelper.errors import Conflict, WeakPassword
from voicehelper.identity.files import publish_once, replace_secret
from voicehelper.identity.model import UserRepository, normalise_email
from voicehelper.identity.password_rules import check_password, generate_password
from voicehelper.identity.passwords import Passwords

TENANT = "default"
DEFAULT_EMAIL = str(IdentitySettings.model_fields["admin_email"].default)


@dataclass(frozen=True)
class AdminCredentials:
    """How the first administrator logs in. `created` tells whether the account was made by this call."""

    email: str
    password: str
    created: bool = False


async def ensure_configured_admin(
    settings: Settings, users: UserRepository, passwords: Passwords
) -> AdminCredentials | None:
    """`ensure_admin` with the address and password of `settings.identity`, and the file `<home>/keys/admin.json`."""
    given = settings.identity.admin_password
    password = given.get_secret_value() if given else None
    return await ensure_admin(users, passwords, credentials_file(settings), settings.identity.admin_email, password)


def credentials_file(settings: Settings) -> Path:
    """Where the first administrator's credentials lie."""
    return settings.home / "keys" / "admin.json"


async def ensure_admin(
    users: UserRepository, passwords: Passwords, path: Path, email: str = DEFAULT_EMAIL, password: str | None = None
) -> AdminCredentials | None:
    """Create tenant `default` and its administrator unless they exist; returns the credentials where they are known.

    A generated password is in `path` (mode 0600) before the account exists, so a crash in between loses none: the next
    call uses the file's. Any number of processes may call this at once.

    Args:
        users: where accounts lie.
        passwords: the hasher.
        path: the credentials file, `<home>/keys/admin.json`.
        email: of the account to create.
        password: of the account to create; generated when None.

    Returns:
        The credentials; None when an administrator exists whose password is not in `path`.

    Raises:
        WeakPassword: the given password is too weak for an account that is to be made.
        OSError: the file cannot be written.
        Unavailable: the database cannot be reached.
    """
    existing = await users.first_admin(TENANT)
    if existing is not None:
        known = read_credentials(path)
        return known if known is not None and normalise_email(known.email) == existing.email else None
    wanted = AdminCredentials(normalise_email(email), password or generate_password())
    if password is None:
        wanted = _publish(path, wanted)
    else:
        await _check(wanted)
    try:
        await users.create_admin(TENANT, wanted.email, await passwords.hash(wanted.password))
    except Conflict:
        return read_credentials(path)  # another process was faster; a generated password came from the same file
    if password is not None:
        replace_secret(path, _encode(wanted))
    return replace(wanted, created=True)


def read_credentials(path: Path) -> AdminCredentials | None:
    """The credentials in `path`; None where there are none."""
    try:
        data = json.loads(path.read_text())
        return AdminCredentials(str(data["email"]), str(data["password"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


async def _check(wanted: AdminCredentials) -> None:
    try:
        await check_password(wanted.password, email=wanted.email)
    except WeakPassword as error:
        broken = ", ".join(error.details["rules"])
        raise WeakPassword(f"The administrator's password is too weak: {broken}", error.details) from error


def _publish(path: Path, wanted: AdminCredentials) -> AdminCredentials:
    """`wanted`, now in `path`; or what was there already."""
    if not publish_once(path, _encode(wanted)):
        known = read_credentials(path)
        if known is not None:
            return known
        replace_secret(path, _encode(wanted))
    return wanted


def _encode(credentials: AdminCredentials) -> bytes:
    return json.dumps({"email": credentials.email, "password": credentials.password}).encode()
