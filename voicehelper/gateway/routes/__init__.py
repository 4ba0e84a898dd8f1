"""The routes by capability, under `/api/v1`."""

from fastapi import APIRouter

from voicehelper.gateway.routes import (
    api_keys,
    audit,
    auth,
    conversations,
    events,
    feedback,
    knowledge,
    messages,
    platform_keys,
    privacy,
    review,
    roles,
    search,
    tenants,
    users,
    visitors,
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
    platform_keys,
):
    API.include_router(_module.router)

__all__ = ["API"]
