"""How much anybody may ask for: sliding windows, counted in Redis by all replicas together or, without it, by each."""

from voicehelper.limits.fallback import FallbackLimiter
from voicehelper.limits.local import LocalLimiter
from voicehelper.limits.model import BUCKETS, UNLIMITED, Counters, Limit, RateLimiter, Unlimited, Verdict
from voicehelper.limits.names import AddressNames

__all__ = [
    "BUCKETS",
    "UNLIMITED",
    "AddressNames",
    "Counters",
    "FallbackLimiter",
    "Limit",
    "LocalLimiter",
    "RateLimiter",
    "Unlimited",
    "Verdict",
]
