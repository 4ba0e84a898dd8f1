"""Who answers: the router, or a knowledge base, by the name of the model."""

from dataclasses import replace
from typing import Final, cast, get_args

from voicehelper.errors import InvalidInput, ModelUnavailable, UnknownModel
from voicehelper.gateway.openai.events import Events
from voicehelper.gateway.openai.grounded import PREFIX, grounded
from voicehelper.gateway.openai.lean import Call
from voicehelper.models.model import AUTO, ModelEntry, Strategy
from voicehelper.ports.chat import ChatRequest

STRATEGIES: Final = tuple(f"{AUTO}:{name}" for name in get_args(Strategy) if name != "named")
_AUTOMATIC: Final = frozenset({AUTO, *STRATEGIES})
OUTPUT_TOKENS: Final = 1024
"""The most tokens of an answer where neither the request nor the model's entry says."""


def answer(call: Call, request: ChatRequest, max_tokens: int | None) -> Events:
    """The answer to `request`, of `request.model`. `max_tokens` as the client asked.

    Raises at once: `UnknownModel`, `InvalidInput` for what the named model cannot do, `ModelUnavailable` without a
    router; later, at the first event, what the source raises.
    """
    if request.model.startswith(PREFIX):
        return grounded(call, request)
    router = call.services.router
    if router is None:
        raise ModelUnavailable
    entry = _entry(call, request)
    limit = max_tokens or (entry.max_output_tokens if entry is not None else 0) or OUTPUT_TOKENS
    return cast(Events, router.stream(replace(request, max_tokens=limit)))


def _entry(call: Call, request: ChatRequest) -> ModelEntry | None:
    """Of a model asked for by name."""
    catalogue = call.services.catalogue
    if catalogue is None or request.model in _AUTOMATIC:
        return None
    entry = catalogue.of(call.principal.tenant_id).get(request.model)
    if entry is None or entry.kind != "chat":
        raise UnknownModel(details={"model": request.model, "param": "model"})
    for param, capabilities in _needs(request):
        if not entry.capabilities & capabilities:
            raise InvalidInput(f"{request.model} cannot do that: {param}", {"param": param})
    return entry


def _needs(request: ChatRequest) -> list[tuple[str, set[str]]]:
    """Parameters of the request, each with capabilities of which a model must have one."""
    needs: list[tuple[str, set[str]]] = []
    if request.tools:
        needs.append(("tools", {"tools"}))
    if request.json_schema is not None:
        needs.append(("response_format", {"json_schema"}))
    elif request.json_object:
        needs.append(("response_format", {"json_object", "json_schema"}))
    if request.logprobs is not None:
        needs.append(("logprobs", {"logprobs"}))
    if any(message.images for message in request.messages):
        needs.append(("messages", {"vision"}))
    return needs
