"""Going on where another model broke off: what the next one is asked, and where its words begin to be new."""

from dataclasses import replace

from voicehelper.models.model import ModelEntry
from voicehelper.models.tokens import estimate_tokens
from voicehelper.ports.chat import ChatMessage, ChatRequest

_GO_ON = (
    "Your previous message was cut off by a technical failure. Continue it exactly where it stopped, in the same "
    "language, beginning with the very next word. Do not repeat anything, do not apologise, do not comment."
)
_SHORTEST_OVERLAP = 4
_FEWEST_TOKENS = 16


def continuing(request: ChatRequest, said: str, entry: ModelEntry) -> ChatRequest:
    """`request` for the model `entry`, given what the caller has already been told.

    Models that can `continue` take the unfinished turn as their own; others are asked to go on.
    """
    unfinished = ChatMessage("assistant", said)
    told = (unfinished,) if "continue" in entry.capabilities else (unfinished, ChatMessage("user", _GO_ON))
    left = max(_FEWEST_TOKENS, request.max_tokens - estimate_tokens(said))
    return replace(request, messages=(*request.messages, *told), max_tokens=left)


class Joint:
    """Leaves out what a continuation repeats of the text before it: held back for as long as it may be a repetition of
    the end, or of all, of what was said."""

    def __init__(self, said: str) -> None:
        self.whole = said
        self._before = said
        self._held = ""
        self._open = True

    def feed(self, text: str) -> str:
        """What of it is new, as far as that can be told."""
        if not self._open:
            self.whole += text
            return text
        self._held += text
        if self._may_grow():
            return ""
        return self.finish()

    def finish(self) -> str:
        """No more comes: what of the held text is new."""
        if not self._open:
            return ""
        self._open = False
        new = self._held[self._overlap() :]
        self.whole += new
        return new

    def _may_grow(self) -> bool:
        """Whether what was said holds it, and so may hold more."""
        return self._held in self._before

    def _overlap(self) -> int:
        longest = min(len(self._before), len(self._held))
        for length in range(longest, _SHORTEST_OVERLAP - 1, -1):
            if self._before.endswith(self._held[:length]):
                return length
        return 0
