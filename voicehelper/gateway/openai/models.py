"""`/v1/models`: what can be put into `model`."""

from typing import Any
from uuid import UUID

from voicehelper.errors import NotFound, UnknownModel
from voicehelper.gateway.openai.grounded import PREFIX
from voicehelper.gateway.openai.sources import STRATEGIES
from voicehelper.gateway.services import Services
from voicehelper.identity import Principal
from voicehelper.knowledge.model import KnowledgeBase
from voicehelper.models.model import AUTO, ModelEntry

_OURS = "voicehelper"
_MOST_BASES = 200  # the newest are listed; `kb:NAME` works for all


async def listed(services: Services, caller: Principal) -> list[dict[str, Any]]:
    """The caller's models: automatic choice, the catalogue, the instance's own embedder, knowledge bases."""
    found = [_view(name, _OURS) for name in (AUTO, *STRATEGIES)] if services.router is not None else []
    if services.catalogue is not None:
        found += [_entry(entry) for _, entry in sorted(services.catalogue.of(caller.tenant_id).items())]
    own = services.embeddings.own_name if services.embeddings is not None else ""
    if own and all(view["id"] != own for view in found):
        found.append(_view(own, _OURS))
    if services.answerer is not None and caller.may("knowledge:read"):
        page = await services.knowledge.list_bases(caller.tenant_id, None, _MOST_BASES)
        found += [_base(base) for base in page.items]
    return found


async def one(services: Services, caller: Principal, name: str) -> dict[str, Any]:
    """One of them. Raises `UnknownModel`."""
    if not name.startswith(PREFIX):
        own = await listed(services, caller)
        for view in own:
            if view["id"] == name:
                return view
    elif services.answerer is not None and caller.may("knowledge:read") and "\x00" not in name and name != PREFIX:
        try:
            (kb_id,) = await services.scopes.resolve(caller.tenant_id, [name.removeprefix(PREFIX)])
            return {**_base(await services.knowledge.get_base(caller.tenant_id, kb_id)), "id": name}
        except NotFound:
            pass
    raise UnknownModel(details={"model": name, "param": "model"})


def _entry(entry: ModelEntry) -> dict[str, Any]:
    facts = {
        "kind": entry.kind,
        "capabilities": sorted(entry.capabilities),
        "context_tokens": entry.context_tokens,
        "max_output_tokens": entry.max_output_tokens or None,
    }
    return {**_view(entry.name, entry.provider, _seconds(entry.id)), "voicehelper": facts}


def _base(base: KnowledgeBase) -> dict[str, Any]:
    return _view(PREFIX + base.name, _OURS, int(base.created_at.timestamp()))


def _view(name: str, owner: str, created: int = 0) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": owner}


def _seconds(id_: UUID) -> int:
    """When a UUIDv7 was made, as a Unix time; 0 for others."""
    return (id_.int >> 80) // 1000 if id_.version == 7 else 0
