"""The protocol's audio formats, by our codecs."""

from typing import Final

from voicehelper.voice.codecs import Decoder, Encoder, Encoding, input_decoder, output_encoder

PCM_RATE: Final = 24_000

_ENCODINGS: Final[dict[str, Encoding]] = {
    "audio/pcm": "pcm16",
    "audio/pcmu": "g711_ulaw",
    "audio/pcma": "g711_alaw",
}
_BYTES_PER_MS: Final = {"audio/pcm": PCM_RATE * 2 / 1000, "audio/pcmu": 8.0, "audio/pcma": 8.0}


def decoder_of(kind: str) -> Decoder:
    """For sound from the client."""
    return input_decoder(_ENCODINGS[kind], PCM_RATE)


def encoder_of(kind: str, source_rate: int) -> Encoder:
    """For sound made at `source_rate`."""
    return output_encoder(_ENCODINGS[kind], source_rate, PCM_RATE)


def milliseconds(kind: str, size: int) -> float:
    """Length of `size` bytes."""
    return size / _BYTES_PER_MS[kind]
