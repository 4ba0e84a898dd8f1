"""Sound files: what is uploaded to be written down, and what spoken text is delivered as. libsndfile does the work.

Everything here blocks; call it in a thread.
"""

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import soundfile

from voicehelper.errors import EmptyFile, InvalidInput, MalformedBody, PayloadTooLarge, UnsupportedType
from voicehelper.ports.speech import INPUT_RATE
from voicehelper.voice.codecs_opus import RATES as OPUS_RATES
from voicehelper.voice.levels import FULL_SCALE, Samples, pcm_of
from voicehelper.voice.resample import Resampler

READABLE = ("wav", "flac", "mp3", "ogg", "opus", "aiff", "au")
_CONTAINERS_WE_READ = frozenset({"WAV", "WAVEX", "RF64", "W64", "FLAC", "MP3", "OGG", "AIFF", "AU"})
_BLOCK = 65_536
_MOST_CHANNELS = 8
_RATES = range(4_000, 192_001)
_RATE_STEP = 25  # a rate is rounded to it: nobody hears a thousandth, and the filters stay small


def decode_file(data: bytes, longest_s: float, rate: int = INPUT_RATE) -> bytes:
    """PCM, mono, at `rate`, of a wav, flac, mp3, ogg, opus, aiff or au file.

    No more than `longest_s` seconds are unpacked, whatever the file's header says. Raises `EmptyFile`,
    `UnsupportedType` (m4a and webm among others), `MalformedBody` for a file that breaks off or was damaged before its
    first sound, `PayloadTooLarge` for one that is too long.
    """
    if not data:
        raise EmptyFile()
    _refuse_known(data)
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            _check(file)
            resampler = Resampler(round(file.samplerate / _RATE_STEP) * _RATE_STEP, rate)
            pcm = b"".join(resampler(pcm_of(block)) for block in _blocks(file, longest_s)) + resampler.flush()
    except soundfile.LibsndfileError as error:
        raise UnsupportedType("The file is not sound, or of a kind that is not read", {"readable": READABLE}) from error
    if not pcm:
        raise MalformedBody("The file holds no sound")
    return pcm


def _refuse_known(data: bytes) -> None:
    name = "m4a or mp4" if data[4:8] == b"ftyp" else "webm" if data[:4] == b"\x1a\x45\xdf\xa3" else ""
    if name:
        raise UnsupportedType(f"{name} files are not read here", {"readable": READABLE})


def _check(file: soundfile.SoundFile) -> None:
    if file.format not in _CONTAINERS_WE_READ or file.channels > _MOST_CHANNELS or file.samplerate not in _RATES:
        facts = {"format": file.format, "channels": file.channels, "sample_rate": file.samplerate}
        raise UnsupportedType("Sound of this kind is not read", {"readable": READABLE, **facts})


def _blocks(file: soundfile.SoundFile, longest_s: float) -> Iterator[Samples]:
    """One channel of 16-bit scale, the mean of all, block by block. What breaks off is used as far as it goes."""
    most = int(longest_s * file.samplerate)
    taken = 0
    space = np.empty((_BLOCK, file.channels), np.float32)
    while taken <= most:
        space.fill(0.0)
        try:
            block, more = file.read(out=space), True
        except soundfile.LibsndfileError:  # damaged, or of unknown length: then only the last step fails, after reading
            block, more = space[: int(np.flatnonzero(space.any(axis=1)).max(initial=-1)) + 1], False
        taken += len(block)
        yield np.nan_to_num(block.mean(axis=1)) * np.float32(FULL_SCALE)
        if not more or not len(block):
            return
    raise PayloadTooLarge(f"Longer than {longest_s:g} s", {"longest_s": longest_s})


class FileEncoder(Protocol):
    """A sound file as it grows: what is complete can be sent before the rest is there."""

    def __call__(self, pcm: bytes) -> bytes:
        """The file's next bytes."""
        ...

    def finish(self) -> bytes:
        """Its last."""
        ...


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of file that can be made. `new` takes the sound's rate."""

    media_type: str
    new: Callable[[int], FileEncoder]


def file_kind(name: str) -> FileKind:
    """By the names of OpenAI's `response_format`. Raises `InvalidInput` for one that cannot be made, aac for one."""
    kind = _KINDS.get(name)
    if kind is None:
        raise InvalidInput(f"{name!r} cannot be made", {"formats": sorted(_KINDS)})
    return kind


class _Raw:
    """PCM as it is."""

    def __init__(self, _rate: int) -> None:
        pass

    def __call__(self, pcm: bytes) -> bytes:
        return pcm

    def finish(self) -> bytes:
        return b""


class _Wav:
    """A wav file whose length is not known when it begins: its sizes say "until the end", as ffmpeg's do to a pipe."""

    def __init__(self, rate: int) -> None:
        form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
        self._head = b"RIFF\xff\xff\xff\xffWAVE" + form + b"data\xff\xff\xff\xff"

    def __call__(self, pcm: bytes) -> bytes:
        head, self._head = self._head, b""
        return head + pcm

    def finish(self) -> bytes:
        return self(b"")


class _Packed:
    """A file that libsndfile writes. What it would go back and correct in the beginning stays as it was sent; flac,
    whose readers want to know the length, is sent as a whole."""

    def __init__(self, rate: int, form: str, subtype: str, rates: tuple[int, ...] = (), grows: bool = True) -> None:
        target = rate if not rates or rate in rates else rates[-1]
        self._resampler = Resampler(rate, target)
        self._sink = io.BytesIO()
        self._sent = 0
        self._grows = grows
        mode = "CONSTANT" if form == "MP3" else None  # a variable one needs the corrected beginning
        self._file = soundfile.SoundFile(
            self._sink, "w", target, 1, subtype, format=form, bitrate_mode=mode, compression_level=0.5 if mode else None
        )

    def __call__(self, pcm: bytes) -> bytes:
        self._write(self._resampler(pcm))
        return self._take() if self._grows else b""

    def finish(self) -> bytes:
        self._write(self._resampler.flush())
        self._file.close()
        return self._take()

    def _write(self, pcm: bytes) -> None:
        if pcm:
            self._file.buffer_write(pcm, dtype="int16")

    def _take(self) -> bytes:
        fresh = self._sink.getvalue()[self._sent :]
        self._sent += len(fresh)
        return fresh


_MP3_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)

_KINDS = {
    "pcm": FileKind("audio/pcm", _Raw),
    "wav": FileKind("audio/wav", _Wav),
    "mp3": FileKind("audio/mpeg", lambda rate: _Packed(rate, "MP3", "MPEG_LAYER_III", _MP3_RATES)),
    "opus": FileKind("audio/ogg", lambda rate: _Packed(rate, "OGG", "OPUS", OPUS_RATES)),
    "flac": FileKind("audio/flac", lambda rate: _Packed(rate, "FLAC", "PCM_16", grows=False)),
}
