"""A write that names an `Idempotency-Key` happens once, however often it is sent."""

from voicehelper.idempotency.model import KEPT_S, Earlier, StoredResponse, WriteKey, fingerprint, parse_key
from voicehelper.idempotency.port import Claim, FakeIdempotencyStore, IdempotencyStore
from voicehelper.idempotency.tidying import forget_expired

__all__ = [
    "KEPT_S",
    "Claim",
    "Earlier",
    "FakeIdempotencyStore",
    "IdempotencyStore",
    "StoredResponse",
    "WriteKey",
    "fingerprint",
    "forget_expired",
    "parse_key",
]
