"""The bodies of accounts: what they take, and that they agree with the rules behind them."""

from datetime import datetime
from typing import get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from voicehelper.identity.permissions import BUILT_IN, PERMISSIONS, unknown_permissions
from voicehelper.wire.identity import Email
from voicehelper.wire.roles import PermissionName
from voicehelper.wire.times import Moment
from voicehelper.wire.users import RoleName


def test_the_api_names_every_permission_that_can_be_given() -> None:
    named = set(get_args(PermissionName))
    assert named == set(PERMISSIONS) - {"platform:write"}
    assert not unknown_permissions(frozenset(named))


@pytest.mark.parametrize("role", BUILT_IN)
def test_built_in_roles_have_names_that_roles_may_have(role: str) -> None:
    TypeAdapter(RoleName).validate_python(role)


@pytest.mark.parametrize("email", ["a@b", "admin@voicehelper.local", " 李明@例子.cn ", "a+b.c@x-y.example"])
def test_addresses(email: str) -> None:
    assert TypeAdapter(Email).validate_python(email) == email.strip()


@pytest.mark.parametrize("email", ["", "a", "@", "a@", "@b", "a b@c", "a@b@c", "a\x00@b", "a@b\n.c", "a@" + "b" * 300])
def test_no_addresses(email: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Email).validate_python(email)


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01T00:00:00", "x"]
)
def test_times_that_no_engine_stores_are_refused(moment: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Moment).validate_python(moment)


def test_times_have_an_offset() -> None:
    parsed: datetime = TypeAdapter(Moment).validate_python("2026-11-22T09:00:00+08:00")
    assert parsed.utcoffset() is not None
