"""Sound as clients send and take it, from and to what is used inside: PCM, signed 16 bit, little-endian, mono."""

from collections.abc import Callable
from typing import Literal, Protocol

from voicehelper.errors import InvalidInput
from voicehelper.ports.speech import INPUT_RATE
from voicehelper.voice.codecs_g711 import G711, a_law, mu_law
from voicehelper.voice.codecs_opus import RATES as OPUS_RATES
from voicehelper.voice.codecs_opus import OpusDecoder, OpusEncoder
from voicehelper.voice.resample import Resampler

Encoding = Literal["pcm16", "g711_ulaw", "g711_alaw", "opus"]
"""`pcm16` at any of `PCM_RATES`; G.711 at 8 kHz; `opus`: raw packets, one a message."""

PCM_RATES = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
TELEPHONE_RATE = 8_000


class Decoder(Protocol):
    """What one client sends, in order."""

    def __call__(self, data: bytes, /) -> bytes:
        """PCM at `INPUT_RATE` of the next message; a part of it may come with the message after.

        Raises `InvalidInput` where it is not sound in the agreed form.
        """
        ...

    def reset(self) -> None:
        """What comes next does not follow what came before (a resume, a cleared buffer)."""
        ...


class Encoder(Protocol):
    """What one client gets, in order."""

    rate: int
    """Samples per second of what the client hears."""

    def __call__(self, pcm: bytes, /) -> list[bytes]:
        """Messages for what is complete; PCM is always one message at most, Opus a packet for each 20 ms."""
        ...

    def flush(self) -> list[bytes]:
        """The rest, where the sound pauses or ends."""
        ...

    def reset(self) -> None:
        """The sound was stopped: forget the rest."""
        ...


def input_decoder(encoding: Encoding, rate: int = INPUT_RATE) -> Decoder:
    """For what comes in; `rate` counts for `pcm16` only. Raises `InvalidInput` for one that is not taken."""
    if encoding == "opus":
        return OpusDecoder()
    return _Plain(_law(encoding), _checked(encoding, rate))


def output_encoder(encoding: Encoding, source_rate: int, rate: int = 0) -> Encoder:
    """For what goes out, made at `source_rate`; `rate` (0: the source's) counts for `pcm16` only. Opus goes out at the
    source's rate, where it can, since a decoder gives any rate it likes.

    Raises `InvalidInput` for a rate that is not given.
    """
    if encoding == "opus":
        return _Packets(source_rate)
    return _PlainOut(_law(encoding), source_rate, _checked(encoding, rate or source_rate))


def _law(encoding: Encoding) -> G711 | None:
    make: dict[str, Callable[[], G711]] = {"g711_ulaw": mu_law, "g711_alaw": a_law}
    return make[encoding]() if encoding in make else None


def _checked(encoding: Encoding, rate: int) -> int:
    if encoding != "pcm16":
        return TELEPHONE_RATE
    if rate not in PCM_RATES:
        raise InvalidInput(f"PCM of {rate} samples per second is not taken", {"rates": list(PCM_RATES)})
    return rate


class _Plain:
    """PCM, or G.711 in its place. Messages may be cut anywhere, in the middle of a sample too."""

    def __init__(self, law: G711 | None, rate: int) -> None:
        self._law = law
        self._resampler = Resampler(rate, INPUT_RATE)

    def __call__(self, data: bytes) -> bytes:
        return self._resampler(self._law.decode(data) if self._law else data)

    def reset(self) -> None:
        self._resampler.reset()


class _PlainOut:
    """PCM, or G.711 made of it."""

    def __init__(self, law: G711 | None, source_rate: int, rate: int) -> None:
        self.rate = rate
        self._law = law
        self._resampler = Resampler(source_rate, rate)

    def __call__(self, pcm: bytes) -> list[bytes]:
        return self._message(self._resampler(pcm))

    def flush(self) -> list[bytes]:
        return self._message(self._resampler.flush())

    def reset(self) -> None:
        self._resampler.reset()

    def _message(self, pcm: bytes) -> list[bytes]:
        if not pcm:
            return []
        return [self._law.encode(pcm) if self._law else pcm]


class _Packets:
    """Opus."""

    def __init__(self, source_rate: int) -> None:
        self.rate = source_rate if source_rate in OPUS_RATES else OPUS_RATES[-1]
        self._resampler = Resampler(source_rate, self.rate)
        self._encoder = OpusEncoder(self.rate)

    def __call__(self, pcm: bytes) -> list[bytes]:
        return self._encoder(self._resampler(pcm))

    def flush(self) -> list[bytes]:
        return self._encoder(self._resampler.flush()) + self._encoder.flush()

    def reset(self) -> None:
        self._resampler.reset()
        self._encoder.reset()
