"""The providers that an entry of the catalogue can name. How each is spoken to lies in `actors.chat.providers`."""

from typing import Final

OWN_ADDRESS: Final = frozenset({"openai", "anthropic", "qwen", "ernie", "deepseek"})
"""Those with a public address of their own: entries need no `base_url`."""

PROVIDERS: Final = OWN_ADDRESS | {"openai_compatible", "vllm"}
"""All that can be named; the instance's own model (`LOCAL`) is built in, never named."""
