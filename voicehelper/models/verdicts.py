"""What an error of a call means for the model that was called, and for the request. Pure."""

from dataclasses import dataclass
from typing import Final

from voicehelper.errors import (
    ContentFiltered,
    ContextTooLong,
    DeadlineExceeded,
    RateLimited,
    Unavailable,
    VoiceHelperError,
)

_SILENT_S: Final = 10.0
"""A model that says nothing for so long is to blame for a deadline that passes then."""

_COOL_S: Final = 1.0
_LONGEST_COOL_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one error.

    Attributes:
        elsewhere: another model may answer this request.
        again: the same model may, a little later.
        blamed: it counts against the model; else it counts neither way.
        cool_s: the model asked not to be called for so long.
    """

    elsewhere: bool = False
    again: bool = False
    blamed: bool = False
    cool_s: float = 0.0


_CALLER: Final = Verdict()
_FILTERED: Final = Verdict(elsewhere=True)
_TOO_LONG: Final = Verdict(elsewhere=True)
_FAILED: Final = Verdict(elsewhere=True, again=True, blamed=True)


def judge(error: VoiceHelperError, silent_s: float, filtered_elsewhere: bool = False) -> Verdict:
    """The verdict on `error`.

    A refusal for too many calls (429) is the model's own word about when to come again: all replicas keep it, and it is
    no failure. A deadline of ours is no failure either, unless the model had its time and was silent.

    Args:
        silent_s: seconds for which nothing at all came from the model before the error.
        filtered_elsewhere: what one provider refuses to read may be shown to the next.
    """
    if isinstance(error, ContextTooLong):
        return _TOO_LONG
    if isinstance(error, ContentFiltered):
        return _FILTERED if filtered_elsewhere else _CALLER
    if isinstance(error, RateLimited):
        return Verdict(elsewhere=True, again=True, cool_s=min(error.retry_after or _COOL_S, _LONGEST_COOL_S))
    if isinstance(error, DeadlineExceeded):
        return Verdict(blamed=silent_s >= _SILENT_S)
    if isinstance(error, Unavailable) or error.status >= 500:
        return _FAILED
    return _CALLER
