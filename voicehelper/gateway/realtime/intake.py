"""Sound from the client on its way to the session: decoded, and in pieces as the session takes them."""

import base64
import binascii
from collections.abc import Iterator
from typing import Final

from voicehelper.gateway.realtime.formats import decoder_of, milliseconds
from voicehelper.gateway.realtime.refusals import Refusal
from voicehelper.ports.speech import INPUT_RATE

_SHORTEST: Final = INPUT_RATE // 50 * 2  # bytes: 20 ms
_LONGEST_MS: Final = 200


class Intake:
    """The input audio buffer. Sound is heard at once; what is kept here is what is too short for that.

    Args:
        kind: the input format.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._decode = decoder_of(kind)
        self._waiting = b""

    def change(self, kind: str) -> None:
        """Another format from now on."""
        if kind != self.kind:
            self.kind, self._decode = kind, decoder_of(kind)

    def sound(self, audio: str) -> bytes:
        """The sound in an append. Raises `Refusal`."""
        try:
            return base64.b64decode(audio, validate=True)
        except (binascii.Error, ValueError):
            raise Refusal("invalid_value", "Invalid 'audio'. Expected Base64-encoded sound.", "audio") from None

    def pieces(self, sound: bytes) -> Iterator[bytes]:
        """PCM at `INPUT_RATE`, 20 to some 200 ms at a time, decoded when it is taken."""
        step = int(_LONGEST_MS * len(sound) / milliseconds(self.kind, len(sound))) if sound else 1
        for start in range(0, len(sound), step):
            self._waiting += self._decode(sound[start : start + step])
            if len(self._waiting) >= _SHORTEST:
                yield self.rest()

    def rest(self) -> bytes:
        """What was too short so far."""
        rest, self._waiting = self._waiting, b""
        return rest

    def clear(self) -> None:
        """Forget it."""
        self._waiting = b""
