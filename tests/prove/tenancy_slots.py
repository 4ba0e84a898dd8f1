"""What a probe is, and where in the OpenAPI document there is room for something stolen."""

import importlib
import json
import pkgutil
from dataclasses import dataclass

from fastapi.routing import APIWebSocketRoute

from tests.prove.tenancy_document import Operation
from tests.prove.tenancy_things import SOURCES, Party, Tenant, kind_of
from voicehelper.gateway import routes

PARTIES = {"owner": 45, "member": 12, "visitor": 12, "key": 15, "anonymous": 4, "forged": 12}
"""Who tries, and how often: most often those whom permissions stop least."""
CURSORS = {"cursor", "before", "after"}
SLOW = ("password", "/users", "/auth/", "/tenants")  # argon2 works there


@dataclass(frozen=True)
class Slot:
    """Where something stolen can go: `place` is path, query, body or header."""

    place: str
    name: str
    kind: str


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: object


@dataclass(frozen=True)
class Probe:
    """One attempt. `stolen` are the values of the victim's in it, `invented` those of the control's."""

    operation: str
    party: Party
    victim: Tenant
    request: Request
    control: Request | None
    stolen: tuple[str, ...]
    invented: tuple[str, ...]
    neighbour: bool = False

    def __str__(self) -> str:
        who = "neighbour " if self.neighbour else ""
        return f"{who}{self.party.kind}: {self.operation} {self.request.path} {self.request.query or ''}"[:200]


def slots_of(operation: Operation) -> list[Slot]:
    """Every place of the operation that can hold an id or a cursor of somebody else's."""
    found = [Slot("path", name, kind_of(operation, name)) for name in operation.path_names]
    for name, schema in operation.query:
        if name in SOURCES or schema.get("format") == "uuid":
            found.append(Slot("query", name, SOURCES.get(name, "any")))
        elif name in CURSORS and "integer" not in json.dumps(schema):
            found.append(Slot("query", name, "cursor"))
    for name, schema in operation.fields():
        if name in SOURCES or "uuid" in json.dumps(schema):
            found.append(Slot("body", name, SOURCES.get(name, "any")))
    return found


def sockets() -> list[str]:
    """Paths of the WebSocket routes, which the OpenAPI document does not list."""
    modules = [importlib.import_module(f"{routes.__name__}.{m.name}") for m in pkgutil.iter_modules(routes.__path__)]
    found = [route for module in modules if hasattr(module, "router") for route in module.router.routes]
    return [route.path for route in found if isinstance(route, APIWebSocketRoute)]


def weight_of(operation: Operation) -> float:
    if slots_of(operation):
        return 1.0
    return 0.03 if operation.writes and any(part in operation.path for part in SLOW) else 0.25
