"""A quick look at a file before it is accepted: what is certainly broken is refused while its sender still listens."""

import asyncio
from dataclasses import replace
from pathlib import Path

from voicehelper.documents.failures import failure_reason
from voicehelper.documents.isolation import IsolatedParser
from voicehelper.documents.model import FailureReason, ParseLimits
from voicehelper.errors import Unavailable, UnprocessableDocument
from voicehelper.telemetry import get_logger, stage

log = get_logger(__name__)

_CERTAIN = frozenset(
    {
        FailureReason.EMPTY,
        FailureReason.UNSUPPORTED,
        FailureReason.MISMATCH,
        FailureReason.CORRUPT,
        FailureReason.ENCRYPTED,
        FailureReason.BOMB,
        FailureReason.ENCODING,
    }
)
_LOOK_S = 3.0
_PATIENCE_S = 10.0


class IsolatedInspector:
    """`knowledge.ports.Inspector` in parser children of its own, started when needed.

    A file that takes too long, or kills its child, is let through: the indexer, which has more time, decides.
    """

    def __init__(self, parser: IsolatedParser, patience_s: float = _PATIENCE_S) -> None:
        self._parser = parser
        self._patience_s = patience_s

    async def inspect(self, name: str, content_type: str, content: bytes | Path) -> None:
        """Raises `UnprocessableDocument` where indexing would certainly fail for the same reason."""
        try:
            with stage("documents.inspect"):
                async with asyncio.timeout(self._patience_s):
                    await self._parser.inspect(content, name, content_type)
        except UnprocessableDocument as error:
            reason = failure_reason(error)
            if reason in _CERTAIN:
                raise
            log.info("documents.inspection_undecided", reason=reason.value)
        except (TimeoutError, Unavailable) as error:
            log.warning("documents.inspection_skipped", error=str(error) or type(error).__name__)


def inspection_limits(limits: ParseLimits) -> ParseLimits:
    """`limits` with the time of a quick look."""
    return replace(limits, timeout_s=min(_LOOK_S, limits.timeout_s))
