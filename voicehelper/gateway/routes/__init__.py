"""The routes by capability."""

from fastapi import APIRouter

from voicehelper.gateway import openai
from voicehelper.gateway.routes import (
    api_keys,
    audit,
    auth,
    budgets,
    conversations,
    events,
    experiments,
    feedback,
    jwks,
    knowledge,
    live,
    messages,
    models,
    operations,
    platform_keys,
    privacy,
    realtime,
    review,
    roles,
    search,
    speech,
    tenants,
    transcriptions,
    usage,
    users,
    visitors,
    voice,
)

API = APIRouter(prefix="/api/v1")
for _module in (
    auth,
    users,
    roles,
    tenants,
    api_keys,
    visitors,
    audit,
    knowledge,
    search,
    conversations,
    messages,
    feedback,
    review,
    privacy,
    events,
    models,
    experiments,
    budgets,
    usage,
    platform_keys,
):
    API.include_router(_module.router)

ROUTERS = (
    operations.router,
    jwks.router,
    API,
    live.router,
    voice.router,
    realtime.router,
    speech.router,
    transcriptions.router,
    openai.router,
)
"""All that the gateway serves but its pages of documentation."""

__all__ = ["API", "ROUTERS"]
