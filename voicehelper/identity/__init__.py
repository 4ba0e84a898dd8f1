"""Tenants, users, passwords and access tokens."""

from voicehelper.identity.admin import (
    AdminCredentials,
    credentials_file,
    ensure_admin,
    ensure_configured_admin,
    read_credentials,
)
from voicehelper.identity.authenticator import Authenticator
from voicehelper.identity.key_ring import SigningKeys
from voicehelper.identity.keys import SigningKey
from voicehelper.identity.model import AccessToken, Principal, PrincipalKind, User, UserRepository
from voicehelper.identity.passwords import Passwords
from voicehelper.identity.service import IdentityService
from voicehelper.identity.tokens import TokenIssuer, TokenVerifier

__all__ = [
    "AccessToken",
    "AdminCredentials",
    "Authenticator",
    "IdentityService",
    "Passwords",
    "Principal",
    "PrincipalKind",
    "SigningKey",
    "SigningKeys",
    "TokenIssuer",
    "TokenVerifier",
    "User",
    "UserRepository",
    "credentials_file",
    "ensure_admin",
    "ensure_configured_admin",
    "read_credentials",
]
