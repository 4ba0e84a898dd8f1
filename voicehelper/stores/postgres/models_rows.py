"""Rows of the table `models` as entries, and back."""

from collections.abc import Mapping
from typing import Any

import asyncpg

from voicehelper.models.model import ModelEntry, ModelLimits, Price

COLUMNS = (
    "id, tenant_id, name, kind, provider, remote, base_url, api_key IS NOT NULL AS has_key, capabilities,"
    " context_tokens, max_output_tokens, price_prompt, price_completion, price_cached, price_call, requests_per_minute,"
    " tokens_per_minute, parallel, quality, speed, fallbacks, options, enabled, version"
)
"""What `entry_of` reads; never the key."""

_PLAIN = (
    *("name", "kind", "provider", "remote", "base_url", "context_tokens", "max_output_tokens", "quality", "speed"),
    *("options", "enabled"),
)


def entry_of(row: asyncpg.Record) -> ModelEntry:
    """The entry of a row with `COLUMNS`."""
    return ModelEntry(
        id=row["id"],
        tenant_id=row["tenant_id"],
        has_key=row["has_key"],
        capabilities=frozenset(row["capabilities"]),
        price=Price(row["price_prompt"], row["price_completion"], row["price_cached"], row["price_call"]),
        limits=ModelLimits(row["requests_per_minute"], row["tokens_per_minute"], row["parallel"]),
        fallbacks=tuple(row["fallbacks"]),
        version=row["version"],
        **{name: row[name] for name in _PLAIN},
    )


def columns_of(entry: ModelEntry) -> Mapping[str, Any]:
    """What of `entry` its owner may change, by column."""
    price, limits = entry.price, entry.limits
    return {name: getattr(entry, name) for name in _PLAIN} | {
        "capabilities": sorted(entry.capabilities),
        "price_prompt": price.prompt,
        "price_completion": price.completion,
        "price_cached": price.cached,
        "price_call": price.per_call,
        "requests_per_minute": limits.requests_per_minute,
        "tokens_per_minute": limits.tokens_per_minute,
        "parallel": limits.parallel,
        "fallbacks": list(entry.fallbacks),
    }
