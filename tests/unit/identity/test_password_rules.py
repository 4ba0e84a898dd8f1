"""Which passwords are strong enough."""

import pytest

from voicehelper.errors import WeakPassword
from voicehelper.identity.password_rules import broken_rules, check_password, generate_password, guessable


@pytest.mark.parametrize(
    ("password", "rules"),
    [
        ("Kx7mPq2w", []),
        ("短密码Aa1短", ["length"]),
        ("我的密码是Ab1234", []),
        ("kx7mpq2w", ["upper"]),
        ("KX7MPQ2W", ["lower"]),
        ("KxymPqzw", ["digit"]),
        ("x", ["length", "upper", "digit"]),
        ("", ["length", "upper", "lower", "digit"]),
        ("Aa1" * 43, ["too_long"]),
        ("Li.Ming@Example.com1", ["email"]),
        ("Li.Ming88", ["email"]),
        ("Li.Ming-and-27-others", []),
    ],
)
def test_plain_rules(password: str, rules: list[str]) -> None:
    assert broken_rules(password, "li.ming@example.com") == rules


@pytest.mark.parametrize(
    "password", ["Password1", "Qwerty123", "Abc12345", "Aa123456", "Zaq12wsx", "P@ssw0rd1", "A1b2c3d4"]
)
async def test_known_passwords_are_refused(password: str) -> None:
    assert broken_rules(password) == []
    with pytest.raises(WeakPassword) as weak:
        await check_password(password)
    assert weak.value.details == {"rules": ["common"]}


@pytest.mark.parametrize(
    "password", ["Kx7mPq2w", "TiangongDaguo7", "Correct-Horse-7", "Kx7mPq2w-" * 14, "电池Battery7"]
)
async def test_good_ones_pass(password: str) -> None:
    await check_password(password, email="a@example.com")


def test_the_estimator_looks_at_a_bounded_part() -> None:
    assert not guessable("Kx7mPq2w-" * 14)


def test_generated_ones_keep_the_rules() -> None:
    made = {generate_password() for _ in range(50)}
    assert len(made) == 50
    assert all(broken_rules(password) == [] and not guessable(password) for password in made)
