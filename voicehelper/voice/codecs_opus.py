"""Raw Opus packets, as WebRTC and WebCodecs have them: libopus by way of opuslib-next, whose calls release the GIL."""

from opuslib_next import Decoder as LibDecoder
from opuslib_next import Encoder as LibEncoder
from opuslib_next import OpusError

from voicehelper.errors import InvalidInput
from voicehelper.ports.speech import INPUT_RATE

PACKET_MS = 20
RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
LARGEST_PACKET = 4000
_LONGEST_MS = 120
_BROKEN_IN_A_ROW = 50
_BITRATE = 32_000
_COMPLEXITY = 5  # of 10: speech sounds the same, at half the time


class OpusDecoder:
    """Packets to PCM at `INPUT_RATE`, in the order they were sent.

    An empty packet stands for a lost one, and a broken packet is as good as lost: its time is filled from the sound
    before it. After fifty broken ones in a row it is not Opus, and `InvalidInput` is raised.
    """

    def __init__(self) -> None:
        self._decoder = LibDecoder(INPUT_RATE, 1)
        self._samples = PACKET_MS * INPUT_RATE // 1000  # of the packet before
        self._broken = 0

    def __call__(self, packet: bytes) -> bytes:
        """The packet's 2.5 to 120 ms. Raises `InvalidInput`."""
        if len(packet) > LARGEST_PACKET:
            raise InvalidInput("An Opus packet is larger than 4000 bytes")
        if not packet:
            return self._conceal()
        try:
            pcm: bytes = self._decoder.decode(packet, _LONGEST_MS * INPUT_RATE // 1000)
        except OpusError as error:
            self._broken += 1
            if self._broken > _BROKEN_IN_A_ROW:
                raise InvalidInput("What comes are not Opus packets") from error
            return self._conceal()
        self._broken, self._samples = 0, len(pcm) // 2
        return pcm

    def _conceal(self) -> bytes:
        try:
            concealed: bytes = self._decoder.decode(b"", self._samples)
        except OpusError:
            return bytes(2 * self._samples)
        return concealed

    def reset(self) -> None:
        """A new stream begins."""
        self._decoder.reset_state()
        self._broken = 0


class OpusEncoder:
    """PCM at `rate` (one of `RATES`) to packets of 20 ms, at some 32 kbit/s."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._samples = rate * PACKET_MS // 1000
        self._encoder = self._new()
        self._rest = b""

    def __call__(self, pcm: bytes) -> list[bytes]:
        """A packet for every 20 ms that are complete; the rest waits."""
        pcm, size = self._rest + pcm, 2 * self._samples
        whole = len(pcm) // size * size
        self._rest = pcm[whole:]
        return [self._encode(pcm[at : at + size]) for at in range(0, whole, size)]

    def flush(self) -> list[bytes]:
        """What waits, filled up with silence."""
        return self(bytes(2 * self._samples - len(self._rest))) if self._rest else []

    def reset(self) -> None:
        """Forget what waits, and the sound before."""
        self._rest = b""
        self._encoder.reset_state()

    def _encode(self, frame: bytes) -> bytes:
        packet: bytes = self._encoder.encode(frame, self._samples)
        return packet

    def _new(self) -> LibEncoder:
        encoder = LibEncoder(self._rate, 1, "voip")
        encoder.bitrate = _BITRATE
        encoder.complexity = _COMPLEXITY
        return encoder
