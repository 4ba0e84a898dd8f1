"""What an error of a call means for the model that was called, and for the request. Pure."""

from dataclasses import dataclass
from typing import Final

from voicehelper.errors import (
    ContentFiltered,
    ContextTooLong,
    DeadlineExceeded,
    ModelSilent,
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
        wait_s: before the same model may be called again.
        cools: nobody is to call it before that, on no replica.
    """

    elsewhere: bool = False
    again: bool = False
    blamed: bool = False
    wait_s: float = 0.0
    cools: bool = False


_CALLER: Final = Verdict()
_ANOTHER: Final = Verdict(elsewhere=True)
_FAILED: Final = Verdict(elsewhere=True, again=True, blamed=True)


def judge(error: VoiceHelperError, silent_s: float, filtered_elsewhere: bool = False) -> Verdict:
    """The verdict on `error`.

    A refusal for too many calls (429) is the model's own word about when to come again: all replicas keep it, and it is
    no failure; a queue of our own that is full keeps nobody else away. Nor is time of ours that was short: a deadline
    that passed, or a share of it, unless the model was silent for long.

    Args:
        silent_s: seconds for which nothing at all came from the model before the error.
        filtered_elsewhere: what one provider refuses to read may be shown to the next.
    """
    if isinstance(error, ContextTooLong) or _hurried(error):
        return _ANOTHER
    if isinstance(error, ContentFiltered):
        return _ANOTHER if filtered_elsewhere else _CALLER
    if isinstance(error, RateLimited):
        wait_s = min(_COOL_S if error.retry_after is None else error.retry_after, _LONGEST_COOL_S)
        return Verdict(elsewhere=True, again=True, wait_s=wait_s, cools=not _ours(error))
    if isinstance(error, DeadlineExceeded):
        return Verdict(blamed=silent_s >= _SILENT_S)
    if isinstance(error, Unavailable) or error.status >= 500:
        return _FAILED
    return _CALLER


def _hurried(error: VoiceHelperError) -> bool:
    """Whether it had to make way before it had its time."""
    waited_s: float = error.details.get("waited_s", _SILENT_S)
    return isinstance(error, ModelSilent) and waited_s < _SILENT_S


def _ours(error: RateLimited) -> bool:
    """Whether a queue of this replica (`actors.chat.admission`), or before a deployment, was full."""
    return "queue" in error.details or "node" in error.details
