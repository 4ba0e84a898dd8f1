"""Well-known models with what their vendors publish, for `voicehelper catalogue add --preset`.

Prices are list prices in US dollars at the date beside each; they change, and the entry made of a preset is yours to
keep true. A model whose price depends on the length of the prompt has its context set to where the first price ends;
one whose price depends on the hour has the higher price. Prices of writing to a cache are not part of an entry.
Of Ernie there is none: Baidu publishes prices in renminbi only, and none that could be looked up on these dates.
`quality` and `speed` are our own, coarse: within a vendor, not across.
"""

from typing import Any, Final

_CHAT: Final = ("stream", "tools", "json_object", "json_schema")


def _usd(prompt: float, completion: float = 0.0, cached: float | None = None) -> dict[str, int | None]:
    """A price in dollars per million tokens as `wire.models.PriceBody`."""
    of = {"prompt": prompt, "completion": completion, "cached": cached}
    return {name: None if dollars is None else round(dollars * 1_000_000) for name, dollars in of.items()}


PRESETS: Final[dict[str, dict[str, Any]]] = {
    # https://developers.openai.com/api/docs/pricing and .../models, read 2026-11 (as in LiteLLM 1.106.2's price list).
    "gpt-5.6-terra": {
        "provider": "openai",
        "capabilities": [*_CHAT, "vision"],
        "context_tokens": 272_000,  # beyond: twice the price
        "max_output_tokens": 128_000,
        "price": _usd(2.00, 12.00, 0.20),
        "quality": 5,
        "speed": 3,
    },
    "gpt-5.6-luna": {
        "provider": "openai",
        "capabilities": [*_CHAT, "vision"],
        "context_tokens": 272_000,  # beyond: twice the price
        "max_output_tokens": 128_000,
        "price": _usd(0.20, 1.20, 0.02),
        "quality": 3,
        "speed": 5,
    },
    "gpt-4.1-mini": {  # does not reason first: a quick first word
        "provider": "openai",
        "capabilities": [*_CHAT, "vision", "logprobs", "seed"],
        "context_tokens": 1_047_576,
        "max_output_tokens": 32_768,
        "price": _usd(0.40, 1.60, 0.10),
        "quality": 3,
        "speed": 4,
    },
    "text-embedding-3-small": {
        "provider": "openai",
        "kind": "embedding",
        "capabilities": [],
        "context_tokens": 8_191,
        "price": _usd(0.02),
    },
    # https://platform.claude.com/docs/en/about-claude/pricing and .../models, read 2026-10-24.
    "claude-opus-5-5": {
        "provider": "anthropic",
        "capabilities": [*_CHAT, "vision"],
        "context_tokens": 1_000_000,
        "max_output_tokens": 128_000,
        "price": _usd(4.00, 20.00, 0.20),
        "quality": 5,
        "speed": 2,
    },
    "claude-sonnet-5-5": {
        "provider": "anthropic",
        "capabilities": [*_CHAT, "vision"],
        "context_tokens": 1_000_000,
        "max_output_tokens": 128_000,
        "price": _usd(2.00, 10.00, 0.10),
        "quality": 4,
        "speed": 4,
    },
    "claude-haiku-5-5": {
        "provider": "anthropic",
        "capabilities": [*_CHAT, "vision"],
        "context_tokens": 100_000,  # longer prompts: five times the price
        "max_output_tokens": 100_000,
        "price": _usd(0.10, 0.50, 0.01),
        "quality": 3,
        "speed": 5,
    },
    # https://www.alibabacloud.com/help/en/model-studio/models and .../model-pricing, read 2026-11 (as in LiteLLM
    # 1.106.2's price list): dollars are charged by the international service, whose keys are its own. The service in
    # mainland China charges renminbi: leave `base_url` empty for it, and set the price.
    "qwen-plus": {
        "provider": "qwen",
        "base_url": "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        "capabilities": ["stream", "tools", "json_object", "seed"],
        "context_tokens": 129_024,
        "max_output_tokens": 16_384,
        "price": _usd(0.40, 1.20),
        "quality": 4,
        "speed": 4,
        "options": {"enable_thinking": False},  # thinking has another price
    },
    "qwen-flash": {
        "provider": "qwen",
        "base_url": "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        "capabilities": ["stream", "tools", "json_object", "seed"],
        "context_tokens": 256_000,  # beyond: five times the price
        "max_output_tokens": 32_768,
        "price": _usd(0.05, 0.40),
        "quality": 3,
        "speed": 5,
        "options": {"enable_thinking": False},
    },
    # https://api-docs.deepseek.com/quick_start/pricing, read 2026-10-27: half of it outside peak hours (01-04 and 06-10
    # UTC on Chinese working days).
    "deepseek-flash": {
        "provider": "deepseek",
        "capabilities": ["stream", "tools", "json_object"],
        "context_tokens": 1_000_000,
        "max_output_tokens": 393_216,
        "price": _usd(0.30, 1.20, 0.006),
        "quality": 3,
        "speed": 4,
    },
    "deepseek-v4-pro": {
        "provider": "deepseek",
        "capabilities": ["stream", "tools", "json_object"],
        "context_tokens": 1_000_000,
        "max_output_tokens": 393_216,
        "price": _usd(1.32, 3.96, 0.044),
        "quality": 4,
        "speed": 3,
    },
}
"""Bodies of POST /api/v1/models by name, without `name`, `owner` and `api_key`."""
