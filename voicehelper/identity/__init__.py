"""Tenants, users, passwords and access tokens."""

from voicehelper.identity.accounts import Accounts
from voicehelper.identity.admin import (
    AdminCredentials,
    credentials_file,
    ensure_admin,
    ensure_configured_admin,
    read_credentials,
)
from voicehelper.identity.api_keys import ApiKey
from voicehelper.identity.authenticator import Authenticator
from voicehelper.identity.key_ring import SigningKeys
from voicehelper.identity.keys import SigningKey
from voicehelper.identity.logins import Logins
from voicehelper.identity.model import (
    AccessToken,
    Principal,
    PrincipalKind,
    TokenPair,
    User,
    UserChange,
    UserQuery,
    UserRepository,
)
from voicehelper.identity.passwords import Passwords
from voicehelper.identity.roles import Role
from voicehelper.identity.sessions import Session
from voicehelper.identity.tenants import Tenant, TenantChange, TenantQuery
from voicehelper.identity.tokens import TokenIssuer, TokenVerifier
from voicehelper.identity.visitors import OpenConversation

__all__ = [
    "AccessToken",
    "Accounts",
    "AdminCredentials",
    "ApiKey",
    "Authenticator",
    "Logins",
    "OpenConversation",
    "Passwords",
    "Principal",
    "PrincipalKind",
    "Role",
    "Session",
    "SigningKey",
    "SigningKeys",
    "Tenant",
    "TenantChange",
    "TenantQuery",
    "TokenIssuer",
    "TokenPair",
    "TokenVerifier",
    "User",
    "UserChange",
    "UserQuery",
    "UserRepository",
    "credentials_file",
    "ensure_admin",
    "ensure_configured_admin",
    "read_credentials",
]
