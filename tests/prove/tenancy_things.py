"""What tenants have: kinds of things, which parameter names which kind, and who the people are."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.prove.tenancy_document import Operation

API = "/api/v1"
UUID_TEXT = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
LURE = "紫色长颈鹿的退款多久到账"

SOURCES = {
    "kb_id": "base",
    "knowledge_bases": "base",
    "document_id": "document",
    "conversation_id": "conversation",
    "message_id": "message",
    "user_id": "user",
    "actor_id": "user",
    "session_id": "session",
    "key_id": "key",
    "role": "role",
    "role_name": "role",
    "tenant_id": "tenant",
    "dead_letter_id": "letter",
    "letter_id": "letter",
    "event_id": "event",
    "model_id": "model",
    "model": "model name",
    "experiment_id": "experiment",
    "budget_id": "budget",
    "subject_id": "user",
    "resource_id": "any",
}
"""Parameter and field names that hold an id (or a name that serves as one) -> the kind of thing it names."""

KINDS = {
    "budget": "SELECT id::text FROM budgets WHERE tenant_id = $1",
    "experiment": "SELECT id::text FROM experiments WHERE tenant_id = $1",
    "base": "SELECT id::text FROM knowledge_bases WHERE tenant_id = $1 UNION SELECT name FROM knowledge_bases"
    " WHERE tenant_id = $1",
    "document": "SELECT id::text FROM documents WHERE tenant_id = $1",
    "conversation": "SELECT id::text FROM conversations WHERE tenant_id = $1",
    "message": "SELECT id::text FROM messages WHERE tenant_id = $1",
    "user": "SELECT id::text FROM users WHERE tenant_id = $1",
    "session": "SELECT id::text FROM sessions WHERE tenant_id = $1",
    "key": "SELECT id::text FROM api_keys WHERE tenant_id = $1",
    "role": "SELECT name FROM roles WHERE tenant_id = $1",
    "tenant": "SELECT id::text FROM tenants WHERE id = $1",
    "letter": "SELECT id::text FROM dead_letters WHERE tenant_id = $1",
    "event": "SELECT event_id::text FROM dead_letters WHERE tenant_id = $1",
    "model": "SELECT id::text FROM models WHERE tenant_id = $1",
    "model name": "SELECT name FROM models WHERE tenant_id = $1",
    "audit": "SELECT id::text FROM audit_logs WHERE tenant_id = $1",
}
OWN = {
    "conversation": "SELECT id::text FROM conversations WHERE tenant_id = $1 AND user_id = $2",
    "message": "SELECT m.id::text FROM messages m JOIN conversations c ON c.id = m.conversation_id"
    " WHERE c.tenant_id = $1 AND c.user_id = $2",
    "session": "SELECT id::text FROM sessions WHERE tenant_id = $1 AND user_id = $2",
}
"""Kinds that belong to one user, not to the tenant."""

Renew = Callable[[], Awaitable[None]]


@dataclass
class Party:
    """Somebody with a credential. `renew` gets a new one, where the old one was ended."""

    kind: str
    token: str = ""
    refresh: str = ""
    user_id: str = ""
    conversation_id: str = ""
    renew: Renew | None = None
    ids: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class Tenant:
    """A company and everything that is its own."""

    name: str
    secret: str
    id: str = ""
    parties: dict[str, Party] = field(default_factory=dict)
    ids: dict[str, list[str]] = field(default_factory=dict)
    every_id: frozenset[str] = frozenset()
    cursors: dict[str, str] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    keyed: list[tuple[str, str, object, str]] = field(default_factory=list)  # writes, each with its Idempotency-Key

    def of(self, kind: str) -> list[str]:
        """Ids of a kind; of all kinds for `any`."""
        return sorted(self.every_id) if kind == "any" else self.ids.get(kind, [])


def kind_of(operation: Operation, name: str) -> str:
    """Kind of thing that a parameter names. Raises `KeyError` for one that nobody told us about."""
    if name == "name" and "/roles/" in operation.path:
        return "role"
    return SOURCES[name]


def unknown_parameters(operations: list[Operation]) -> list[str]:
    """Path parameters without a known source of ids: a new route must add its own to `SOURCES`."""
    return [
        f"{operation}: {name}"
        for operation in operations
        for name in operation.path_names
        if name not in SOURCES and not (name == "name" and "/roles/" in operation.path)
    ]
