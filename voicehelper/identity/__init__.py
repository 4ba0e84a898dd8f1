"""Tenants, users, passwords and access tokens."""

from voicehelper.identity.admin import (
    AdminCredentials,
    credentials_file,
    ensure_admin,
    ensure_configured_admin,
    read_credentials,
)
from voicehelper.identity.keys import SigningKey, load_signing_key
from voicehelper.identity.model import AccessToken, Principal, PrincipalKind, User, UserRepository
from voicehelper.identity.passwords import Passwords
from voicehelper.identity.service import IdentityService
from voicehelper.identity.tokens import TokenIssuer, TokenVerifier

__all__ = [
    "AccessToken",
    "AdminCredentials",
    "IdentityService",
    "Passwords",
    "Principal",
    "PrincipalKind",
    "SigningKey",
    "TokenIssuer",
    "TokenVerifier",
    "User",
    "UserRepository",
    "credentials_file",
    "ensure_admin",
    "ensure_configured_admin",
    "load_signing_key",
    "read_credentials",
]
