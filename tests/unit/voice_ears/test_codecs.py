"""Codecs: what goes in comes out, and nothing else does harm."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicehelper.errors import InvalidInput
from voicehelper.voice.codecs import Encoding, input_decoder, output_encoder
from voicehelper.voice.codecs_g711 import a_law, mu_law
from voicehelper.voice.codecs_opus import OpusDecoder, OpusEncoder

RNG = np.random.default_rng(3)


def voice(rate: int, seconds: float = 1.0) -> bytes:
    """Something like a vowel."""
    time = np.arange(int(rate * seconds)) / rate
    wave = sum(np.sin(2 * np.pi * 140 * k * time + k) / k for k in range(1, 12))
    return (4000 * wave * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time))).astype("<i2").tobytes()


def alike(one: bytes, other: bytes, most_delay: int = 200) -> float:
    x, y = (np.frombuffer(pcm, "<i2").astype(float) for pcm in (one, other))
    size = min(len(x), len(y)) - most_delay - 2000
    return max(np.corrcoef(x[1000 : 1000 + size], y[1000 + d : 1000 + d + size])[0, 1] for d in range(most_delay))


@pytest.mark.parametrize(
    ("law", "code", "value"),
    [
        (mu_law, 0xFF, 0),
        (mu_law, 0x7F, 0),
        (mu_law, 0x80, 32124),
        (mu_law, 0x00, -32124),
        (a_law, 0xD5, 8),
        (a_law, 0x55, -8),
        (a_law, 0xAA, 32256),
        (a_law, 0x2A, -32256),
    ],
)
def test_the_laws_have_the_values_of_the_standard(law, code: int, value: int):
    assert int.from_bytes(law().decode(bytes([code])), "little", signed=True) == value


@pytest.mark.parametrize("law", [mu_law, a_law])
def test_every_code_survives_and_every_sample_is_near(law):
    codec = law()
    values = codec.decode(bytes(range(256)))
    assert codec.decode(codec.encode(values)) == values
    samples = np.arange(-32768, 32768, dtype="<i2")
    error = np.abs(np.frombuffer(codec.decode(codec.encode(samples.tobytes())), "<i2").astype(int) - samples)
    assert (error <= np.maximum(16, np.abs(samples.astype(int)) / 30 + 8)).all()


@pytest.mark.parametrize("encoding", ["pcm16", "g711_ulaw", "g711_alaw"])
@pytest.mark.parametrize("rate", [8000, 16000, 24000, 44100, 48000])
def test_sound_in_any_form_is_the_sound(encoding: Encoding, rate: int):
    rate = rate if encoding == "pcm16" else 8000
    out, into = output_encoder(encoding, 24000, rate), input_decoder(encoding, rate)
    assert out.rate == rate
    sent = [message for at in range(0, 48000, 960) for message in out(voice(24000)[at : at + 960])] + out.flush()
    heard = b"".join(into(message) for message in sent)
    assert alike(voice(16000), heard) > 0.98


@pytest.mark.parametrize("rate", [16000, 22050, 24000, 44100, 48000])
def test_opus_gives_a_packet_for_each_20_ms(rate: int):
    out, into = output_encoder("opus", rate), input_decoder("opus")
    sent = out(voice(rate)) + out.flush()
    assert 50 <= len(sent) <= 51
    assert all(len(packet) < 400 for packet in sent)
    assert alike(voice(16000), b"".join(into(packet) for packet in sent)) > 0.8


def test_lost_packets_are_filled():
    packets = OpusEncoder(16000)(voice(16000))
    decoder = OpusDecoder()
    heard = b"".join(decoder(b"" if n in (10, 20, 21) else packet) for n, packet in enumerate(packets))
    assert len(heard) == len(voice(16000))
    assert alike(voice(16000), heard) > 0.75


def test_what_is_no_opus_is_said_to_be_none():
    decoder = OpusDecoder()
    broken = b"\xff\xff\xff"
    assert len(decoder(broken)) == 640
    with pytest.raises(InvalidInput):
        for _ in range(60):
            decoder(broken)
    decoder.reset()
    assert len(decoder(OpusEncoder(16000)(voice(16000))[0])) == 640
    with pytest.raises(InvalidInput):
        decoder(bytes(5000))


@pytest.mark.parametrize("rate", [0, -1, 7999, 1_000_000])
def test_a_wrong_rate_is_refused(rate: int):
    with pytest.raises(InvalidInput):
        input_decoder("pcm16", rate)
    with pytest.raises(InvalidInput):
        output_encoder("pcm16", 24000, rate or 1)


def test_a_stopped_sound_leaves_nothing_behind():
    out = output_encoder("opus", 24000)
    out(voice(24000, 0.03))
    out.reset()
    assert out.flush() == []
    assert len(out(bytes(960))) == 1


@given(st.sampled_from(["pcm16", "g711_ulaw", "g711_alaw", "opus"]), st.lists(st.binary(max_size=700), max_size=20))
@settings(deadline=None)
def test_any_bytes_are_sound_or_refused(encoding: Encoding, messages: list[bytes]):
    decoder = input_decoder(encoding, 24000)
    for message in messages:
        assert len(decoder(message)) % 2 == 0


def test_ten_thousand_random_messages():
    dice, decoder, refused = random.Random(5), OpusDecoder(), 0
    for _ in range(10_000):
        try:
            assert len(decoder(dice.randbytes(dice.randrange(0, 90)))) <= 2 * 1920
        except InvalidInput:
            refused += 1
    assert refused < 10_000
