"""Sound files: what is read, what is refused, what is made."""

import io
import random
import wave

import numpy as np
import pytest
import soundfile

from voicehelper.errors import EmptyFile, InvalidInput, PayloadTooLarge, UnsupportedType, VoiceHelperError
from voicehelper.voice.audio_files import decode_file, file_kind

SECOND = (6000 * np.sin(2 * np.pi * 330 * np.arange(24000) / 24000)).astype("<i2").tobytes()


def made(name: str, seconds: int = 2, rate: int = 24000) -> bytes:
    encoder = file_kind(name).new(rate)
    pieces = [encoder(SECOND[at : at + 4800]) for _ in range(seconds) for at in range(0, len(SECOND), 4800)]
    return b"".join(pieces) + encoder.finish()


@pytest.mark.parametrize("name", ["wav", "mp3", "opus", "flac"])
def test_what_is_made_can_be_read_whole(name: str):
    pcm = np.frombuffer(decode_file(made(name), 60), "<i2").astype(float)
    assert 2 * 16000 <= len(pcm) < 2.2 * 16000
    spectrum = np.abs(np.fft.rfft(pcm[4000:20000]))
    assert abs(int(spectrum.argmax()) - 330) <= 1


@pytest.mark.parametrize("name", ["wav", "mp3", "opus"])
def test_files_grow_while_the_sound_is_made(name: str):
    encoder = file_kind(name).new(24000)
    assert encoder(SECOND)


@pytest.mark.parametrize("name", ["wav", "mp3", "opus", "flac"])
@pytest.mark.parametrize("rate", [16000, 22050, 48000])
def test_any_rate_can_be_made(name: str, rate: int):
    assert decode_file(made(name, 1, rate), 60)


def test_channels_are_mixed_and_rates_changed():
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(2)
        writer.setsampwidth(2)
        writer.setframerate(44100)
        writer.writeframes(np.column_stack([np.full(44100, 1000), np.full(44100, 3000)]).astype("<i2").tobytes())
    pcm = np.frombuffer(decode_file(file.getvalue(), 60), "<i2")
    assert len(pcm) == 16000
    assert abs(pcm[4000:12000] - 2000).max() <= 1


def test_no_more_is_unpacked_than_allowed():
    packed = io.BytesIO()
    soundfile.write(packed, np.zeros(16000 * 600), 16000, format="FLAC")
    assert len(packed.getvalue()) < 200_000
    with pytest.raises(PayloadTooLarge):
        decode_file(packed.getvalue(), 60)
    assert len(decode_file(packed.getvalue(), 600)) == 2 * 16000 * 600


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", EmptyFile),
        (b"hello", UnsupportedType),
        (b"\x00\x00\x00\x20ftypM4A \x00\x00", UnsupportedType),
        (b"\x1a\x45\xdf\xa3\x01\x00", UnsupportedType),
        (made("wav")[:44], VoiceHelperError),
    ],
    ids=["empty", "text", "m4a", "webm", "no sound"],
)
def test_what_cannot_be_read_is_said(data: bytes, error: type[VoiceHelperError]):
    with pytest.raises(error):
        decode_file(data, 60)


def test_a_file_that_breaks_off_is_read_as_far_as_it_goes():
    whole = made("wav")
    assert 15_000 < len(decode_file(whole[: len(whole) // 2], 60)) // 2 < 17_000


def test_what_cannot_be_made_is_said():
    with pytest.raises(InvalidInput, match="aac"):
        file_kind("aac")


def test_damaged_files_do_no_harm(capfd: pytest.CaptureFixture[str]):
    dice, files = random.Random(11), [made(name, 1) for name in ("wav", "mp3", "opus", "flac")]
    for turn in range(400):
        data = bytearray(dice.choice(files)[: dice.choice([300, 5000, 50_000])])
        for _ in range(dice.randrange(1, 30)):
            data[dice.randrange(min(len(data), dice.choice([64, 512, 50_000])))] = dice.randrange(256)
        try:
            decode_file(bytes(data) if turn % 4 else dice.randbytes(300), 60)
        except VoiceHelperError:
            continue
    capfd.readouterr()
