"""Roles -> permissions -> resources. A permission is `resource:action`; a route demands exactly one.

Built-in roles are the same in every tenant and cannot be changed; a tenant adds its own beside them (table `roles`).
"""

from typing import Final

PERMISSIONS: Final[dict[str, str]] = {
    "profile:read": "See one's own account and sessions",
    "profile:write": "Change one's own password, end one's own sessions",
    "conversations:read": "Read one's own conversations",
    "conversations:write": "Begin, ask in, change and delete one's own conversations",
    "conversations:review": "Read the conversations of everybody in the tenant",
    "voice:talk": "Talk: voice sessions in one's own conversations",
    "speech:use": "Have files written down and texts spoken, outside of any conversation",
    "models:use": "Ask the language and embedding models directly, through the OpenAI-compatible API",
    "models:read": "See the catalogue of models and its prices",
    "models:write": "Add, change, test and remove the tenant's models and their keys",
    "experiments:read": "See experiments on models and their results",
    "experiments:write": "Create, start, change and stop experiments on models, report outcomes",
    "budgets:read": "See budgets: limits of money and tokens",
    "budgets:write": "Set, change and remove budgets",
    "usage:read": "See what the tenant's users, keys and features used, and what it cost",
    "knowledge:read": "See knowledge bases and documents, search them",
    "knowledge:write": "Create and delete knowledge bases, upload and delete documents",
    "visitors:write": "Hand out conversation tokens to visitors of a web site",
    "keys:read": "See API keys",
    "keys:write": "Create and revoke API keys",
    "users:read": "See the tenant's users and roles",
    "users:write": "Create, change and disable users, end their sessions",
    "roles:write": "Create, change and delete roles",
    "privacy:write": "Export and erase a user's data",
    "audit:read": "Read the audit log",
    "events:read": "See dead letters",
    "events:write": "Replay dead letters",
    "tenant:write": "Change the tenant",
    "platform:write": "Create, see and disable tenants, rotate signing keys (platform administrators only)",
}
"""Every permission, and what it allows."""

_CUSTOMER = frozenset({"conversations:read", "conversations:write", "voice:talk"})
_MEMBER = _CUSTOMER | {"profile:read", "profile:write", "knowledge:read", "speech:use", "models:use"}
_TENANT = frozenset(PERMISSIONS) - {"platform:write"}

BUILT_IN: Final[dict[str, frozenset[str]]] = {
    "owner": _TENANT,
    "admin": _TENANT - {"tenant:write"},
    "knowledge_editor": _MEMBER | {"knowledge:write"},
    "agent_operator": _MEMBER | {"conversations:review", "visitors:write", "events:read"},
    "member": _MEMBER,
    "end_customer": _CUSTOMER,
}
"""Permissions of the built-in roles. An end customer's token is moreover bound to one conversation."""


def unknown_permissions(permissions: frozenset[str]) -> frozenset[str]:
    """Those that a tenant's role or key cannot have: misspelt ones, and the platform's own."""
    return permissions - _TENANT
