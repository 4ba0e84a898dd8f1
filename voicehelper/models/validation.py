"""What an entry of the catalogue may say, beyond the ranges of its fields."""

import re
from collections.abc import Collection
from typing import Final

from voicehelper.errors import Conflict, InvalidInput
from voicehelper.models.addresses import Resolve, check_address
from voicehelper.models.model import AUTO, ModelEntry
from voicehelper.models.providers import OWN_ADDRESS, PROVIDERS

_OTHERS: Final = re.compile(rf"{AUTO}|{AUTO}:.*|kb:.*", re.IGNORECASE)
"""Model names that mean something else: see `docs/openai-api.md`."""


async def check_entry(entry: ModelEntry, local_name: str, resolve: Resolve) -> None:
    """Whether `entry` may be written by whom it belongs to.

    Raises:
        InvalidInput: `details["field"]` says where.
        Conflict: its name is the instance's own model's.
    """
    if entry.name == local_name:
        raise Conflict("The instance's own model has this name")
    if _OTHERS.fullmatch(entry.name):
        raise InvalidInput("This name means something else", {"field": "name"})
    if entry.provider not in PROVIDERS:
        raise InvalidInput("No such provider", {"field": "provider", "known": sorted(PROVIDERS)})
    if entry.max_output_tokens > entry.context_tokens:
        raise InvalidInput("The output is part of the context", {"field": "max_output_tokens"})
    if entry.name in entry.fallbacks:
        raise InvalidInput("A model cannot stand in for itself", {"field": "fallbacks"})
    if entry.base_url:
        await check_address(entry.base_url, trusted=entry.tenant_id is None, resolve=resolve)
    elif entry.provider not in OWN_ADDRESS:
        raise InvalidInput("This provider has no address of its own: give base_url", {"field": "base_url"})


def warnings_of(entry: ModelEntry, names: Collection[str], *, keyed: bool) -> tuple[str, ...]:
    """What is allowed but will not work yet: fallbacks that do not exist among `names`, a provider without a key."""
    missing = [f"unknown_fallback: {name}" for name in entry.fallbacks if name not in names]
    return (*missing, *(["no_key"] if entry.provider in OWN_ADDRESS and not keyed else []))
