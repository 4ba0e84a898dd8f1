"""How much anybody may ask for: sliding windows, counted in Redis by all replicas together or, without it, by each."""

from voicehelper.limits.fallback import FallbackLimiter
from voicehelper.limits.local import LocalLimiter
from voicehelper.limits.model import BUCKETS, Counters, Limit, RateLimiter, Verdict
from voicehelper.limits.names import AddressNames

__all__ = [
    "BUCKETS",
    "AddressNames",
    "Counters",
    "FallbackLimiter",
    "Limit",
    "LocalLimiter",
    "RateLimiter",
    "Verdict",
]
