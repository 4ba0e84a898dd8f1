"""LiteLLM's hook for authentication: one key, whose budget is `BENCH_BUDGET` dollars. Runs inside LiteLLM's process."""

import os

from litellm.proxy._types import UserAPIKeyAuth
from litellm.proxy.hooks.proxy_track_cost_callback import ProxyDBLogger
from litellm.proxy.utils import hash_token

settler = ProxyDBLogger()
"""What settles reservations; LiteLLM installs it by itself where it has a database."""


async def user_api_key_auth(request: object, api_key: str) -> UserAPIKeyAuth:
    """The key of the bench, whatever was sent."""
    return UserAPIKeyAuth(
        api_key=hash_token(api_key),
        token=hash_token(api_key),
        key_alias="bench",
        max_budget=float(os.environ["BENCH_BUDGET"]),
        spend=0.0,
    )
