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

_ADDRESS_OPTIONS: Final = frozenset({"rerank_url"})
"""Options that are addresses (`actors.chat.providers.EntryOptions`): whoever adds one must add it here."""


def check_entry(entry: ModelEntry, local_name: str) -> None:
    """Whether `entry` may be written by whom it belongs to, but for its addresses.

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
    if not entry.base_url and entry.provider not in OWN_ADDRESS and not _is_engine(entry):
        raise InvalidInput("This provider has no address of its own: give base_url", {"field": "base_url"})


async def check_addresses(entry: ModelEntry, resolve: Resolve) -> None:
    """Raises `InvalidInput` for an address that is none, or that its owner may not name."""
    for field, address in addresses_of(entry).items():
        await check_address(field, address, trusted=entry.tenant_id is None, resolve=resolve)


def _is_engine(entry: ModelEntry) -> bool:
    """Whether it is an engine of this application (`settings.vllm`), which the platform alone offers."""
    return entry.provider == "vllm" and entry.tenant_id is None


def addresses_of(entry: ModelEntry) -> dict[str, str]:
    """Where `entry` says that requests, and with them its key, are sent; by field. Raises `InvalidInput`."""
    found = {"base_url": entry.base_url}
    for name in _ADDRESS_OPTIONS & entry.options.keys():
        if not isinstance(entry.options[name], str):
            raise InvalidInput("The address is not a text", {"field": f"options.{name}"})
        found[f"options.{name}"] = entry.options[name]
    return {field: address for field, address in found.items() if address}


def warnings_of(entry: ModelEntry, names: Collection[str], *, keyed: bool) -> tuple[str, ...]:
    """What is allowed but will not work yet: fallbacks that do not exist among `names`, a provider without a key."""
    missing = [f"unknown_fallback: {name}" for name in entry.fallbacks if name not in names]
    return (*missing, *(["no_key"] if entry.provider in OWN_ADDRESS and not keyed else []))
