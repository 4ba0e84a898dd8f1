"""Reading the packed model: a tiny pack written here, byte by byte."""

import struct

import numpy as np
import pytest

from actors.embedding.e5_pack import read_e5_pack


def pack(magic: bytes = b"E5S1", version: int = 1) -> bytes:
    """hidden 32, one matrix of two rows, one vector."""
    header = magic + struct.pack("<I7ifi", version, 32, 1, 2, 64, 4, 8, 2, 1e-12, 32)
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁退款"]
    text = "".join(pieces).encode()
    ends = np.cumsum([0] + [len(piece.encode()) for piece in pieces]).astype("<u4")
    tokenizer = struct.pack("<5iQ", 5, 0, 2, 1, 3, len(text)) + ends.tobytes()
    tokenizer += np.array([0, 0, 0, 0, -3.5], "<f4").tobytes() + text
    charmap = struct.pack("<IBI", ord("²"), 1, ord("2")) + struct.pack("<IB", 1, 0)
    tokenizer += struct.pack("<iI", 2, len(charmap)) + charmap
    row = np.float16(0.5).tobytes() + bytes(low | (15 - low) << 4 for low in range(16))
    tensors = [("q.w", 1, 64, row * 2), ("q.b", 0, 3, np.array([1, 2, 3], "<f4").tobytes())]
    directory_size = 4 + sum(2 + len(name) + 1 + 4 + 16 for name, *_ in tensors)
    at = len(header) + len(tokenizer) + directory_size
    directory = struct.pack("<i", len(tensors))
    for name, kind, count, data in tensors:
        directory += struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", kind, count, at, len(data))
        at += len(data)
    return header + tokenizer + directory + b"".join(data for *_, data in tensors)


def test_everything_is_read(tmp_path):
    (tmp_path / "pack.bin").write_bytes(pack())
    read = read_e5_pack(tmp_path / "pack.bin")
    assert (read.architecture.hidden, read.architecture.feed_forward, read.architecture.positions) == (32, 64, 8)
    assert read.architecture.layer_norm_eps == pytest.approx(1e-12)
    assert read.pieces.pieces[4] == ("▁退款", -3.5)
    assert (read.pieces.bos, read.pieces.eos, read.pieces.pad, read.pieces.unk) == (0, 2, 1, 3)
    assert read.pieces.charmap == {"²": "2", "\x01": ""}
    assert read.tensors["q.b"].tolist() == [1, 2, 3]
    expected = [(low - 8) * 0.5 for low in range(16)] + [(15 - low - 8) * 0.5 for low in range(16)]
    assert read.tensors["q.w"].tolist() == [expected, expected]


@pytest.mark.parametrize("data", [pack(magic=b"GGUF"), pack(version=2), b"E5S1"])
def test_another_format_is_refused(tmp_path, data):
    (tmp_path / "pack.bin").write_bytes(data)
    with pytest.raises((ValueError, struct.error)):
        read_e5_pack(tmp_path / "pack.bin")
