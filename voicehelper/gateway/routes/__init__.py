"""The routes by capability, under `/api/v1`."""

from fastapi import APIRouter

from voicehelper.gateway.routes import auth, conversations, knowledge, messages, platform_keys, search

API = APIRouter(prefix="/api/v1")
for _module in (auth, knowledge, search, conversations, messages, platform_keys):
    API.include_router(_module.router)

__all__ = ["API"]
