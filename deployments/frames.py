"""What crosses between replicas: a call with its request's context, and an expected error as a value.

An error of ours travels as a value, not as a raised exception: Serve would log each one as a failed request with a
traceback and wrap it in `RayTaskError`. What is raised is a bug or a crash.
"""

from dataclasses import dataclass, field
from typing import Any

from voicehelper.context import RequestContext
from voicehelper.errors import VoiceHelperError


@dataclass(frozen=True, slots=True)
class Call:
    """`method` of the node's port with its arguments, on behalf of the request `context`."""

    method: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    context: RequestContext = RequestContext()


@dataclass(frozen=True, slots=True)
class Failed:
    """The node raised `error`."""

    error: VoiceHelperError
