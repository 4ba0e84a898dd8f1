"""What makes a password strong enough."""

import asyncio
import secrets
import string

from zxcvbn import zxcvbn

from voicehelper.errors import WeakPassword

SHORTEST = 8
LONGEST = 128
_ESTIMATED = 72  # characters the estimator looks at; its time grows faster than its input
_LEAST_SCORE = 2  # of 0 to 4: below it, the first million guesses of a cracker find the password
_ALPHABET = string.ascii_letters + string.digits


async def check_password(password: str, *, email: str = "") -> None:
    """Refuse a weak password.

    Args:
        password: as typed.
        email: of its account, which it must not repeat.

    Raises:
        WeakPassword: `details["rules"]` names what it breaks: `length`, `too_long`, `upper`, `lower`, `digit`, `email`,
            `common` (easily guessed although it has all of that: a known password, a row of keys, a date).
    """
    broken = broken_rules(password, email)
    if not broken and await asyncio.to_thread(guessable, password):
        broken = ["common"]
    if broken:
        raise WeakPassword(details={"rules": broken})


def broken_rules(password: str, email: str = "") -> list[str]:
    """The plain rules that `password` breaks, by name."""
    present = {
        "length": len(password) >= SHORTEST,
        "too_long": len(password) <= LONGEST,
        "upper": any(character.isupper() for character in password),
        "lower": any(character.islower() for character in password),
        "digit": any(character.isdigit() for character in password),
        "email": not _repeats(password.casefold(), email.casefold()),
    }
    return [rule for rule, kept in present.items() if not kept]


def guessable(password: str) -> bool:
    """Whether zxcvbn's estimate says that a million guesses are enough (Wheeler, USENIX Security 2016)."""
    return bool(zxcvbn(password[:_ESTIMATED])["score"] < _LEAST_SCORE)


def generate_password() -> str:
    """A random password of 20 letters and digits (119 bits) that keeps every rule."""
    while True:
        password = "".join(secrets.choice(_ALPHABET) for _ in range(20))
        if not broken_rules(password):
            return password


def _repeats(password: str, email: str) -> bool:
    """Whether the password is the address, or little more than the name before its @."""
    name = email.partition("@")[0]
    if not name:
        return False
    return email in password or (name in password and len(password) - len(name) < 4)
