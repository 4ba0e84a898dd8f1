"""The routes under `/v1` that ask a model."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from voicehelper.gateway.openai import models
from voicehelper.gateway.openai.chat import chat_completion, text_completion
from voicehelper.gateway.openai.embeddings import embedding
from voicehelper.gateway.openai.lean import Call, LeanRoute
from voicehelper.gateway.openai.responses import response
from voicehelper.gateway.params import Caller, Wired, requires
from voicehelper.wire.openai_chat import ChatCompletionCreate, CompletionCreate, OpenAIBody
from voicehelper.wire.openai_embeddings import EmbeddingCreate
from voicehelper.wire.openai_responses import ResponseCreate

BODIES: tuple[type[OpenAIBody], ...] = (ChatCompletionCreate, CompletionCreate, EmbeddingCreate, ResponseCreate)
"""Bodies that the OpenAPI document takes from here: their routes parse them themselves."""

router = APIRouter(prefix="/v1", tags=["models"])
_lean = APIRouter(route_class=LeanRoute)
_USE = [requires("models:use")]


def _takes(body: type[OpenAIBody]) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{body.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _gives(kind: str, *, stream: bool = True) -> dict[int | str, dict[str, Any]]:
    schema = {"type": "object", "required": ["object"], "properties": {"object": {"const": kind}}}
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    if stream:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    return {200: {"description": "As OpenAI's; `voicehelper` says which model answered and why", "content": content}}


@_lean.post(
    "/chat/completions",
    summary="Have a model answer",
    response_class=Response,
    responses=_gives("chat.completion"),
    openapi_extra=_takes(ChatCompletionCreate),
    dependencies=_USE,
)
async def chat_completions(call: Call) -> None:
    """Takes and gives what OpenAI's does, whole or as a stream. `model` is a name of the catalogue, `auto`,
    `auto:cheapest|fastest|best_quality`, or `kb:NAME`: an answer from that knowledge base, with citations in
    `annotations`."""
    await chat_completion(call)


@_lean.post(
    "/completions",
    summary="Have a model answer a prompt",
    response_class=Response,
    responses=_gives("text_completion"),
    openapi_extra=_takes(CompletionCreate),
    dependencies=_USE,
)
async def completions(call: Call) -> None:
    """OpenAI's older form. The models are chat models: the prompt is given to them as what a user says."""
    await text_completion(call)


@_lean.post(
    "/responses",
    summary="Have a model answer, in the form of responses",
    response_class=Response,
    responses=_gives("response"),
    openapi_extra=_takes(ResponseCreate),
    dependencies=_USE,
)
async def responses(call: Call) -> None:
    """OpenAI's newer form, with texts, pictures and functions. Nothing is kept between calls."""
    await response(call)


@_lean.post(
    "/embeddings",
    summary="Turn texts into vectors",
    response_class=Response,
    responses=_gives("list", stream=False),
    openapi_extra=_takes(EmbeddingCreate),
    dependencies=_USE,
)
async def embeddings(call: Call) -> None:
    """By the instance's own embedding model, or one of the catalogue."""
    await embedding(call)


@router.get("/models", summary="List what `model` can be", dependencies=_USE)
async def list_models(caller: Caller, services: Wired) -> dict[str, Any]:
    """The catalogue, automatic choice, and the tenant's knowledge bases (with `knowledge:read`) as `kb:NAME`."""
    return {"object": "list", "data": await models.listed(services, caller)}


@router.get("/models/{model:path}", summary="See one", dependencies=_USE)
async def get_model(model: str, caller: Caller, services: Wired) -> dict[str, Any]:
    """404 with `model_not_found` for a name that is not the tenant's."""
    return await models.one(services, caller, model)


router.include_router(_lean)
