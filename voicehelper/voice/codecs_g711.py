"""G.711, the telephone's 8-bit companding (ITU-T G.711), by table."""

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.int16]
_MU_BIAS = 132


def _mu_law() -> Table:
    code = ~np.arange(256) & 0xFF
    magnitude = (((code & 0x0F) << 3) + _MU_BIAS) << ((code & 0x70) >> 4)
    return np.where(code & 0x80, _MU_BIAS - magnitude, magnitude - _MU_BIAS).astype(np.int16)


def _a_law() -> Table:
    code = np.arange(256) ^ 0x55
    step, segment = (code & 0x0F) << 4, (code & 0x70) >> 4
    magnitude = np.where(segment == 0, step + 8, (step + 0x108) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


class G711:
    """One of the two laws."""

    def __init__(self, table: Table) -> None:
        self._values = table
        order = np.argsort(table, kind="stable")
        levels = table[order].astype(np.int32)
        nearest = np.searchsorted((levels[1:] + levels[:-1]) / 2, np.arange(-32768, 32768))
        self._codes = order[nearest].astype(np.uint8)

    def decode(self, data: bytes) -> bytes:
        """PCM, a sample for each byte."""
        return self._values[np.frombuffer(data, np.uint8)].astype("<i2").tobytes()

    def encode(self, pcm: bytes) -> bytes:
        """The code whose value is nearest to each sample."""
        return self._codes[np.frombuffer(pcm, "<i2").astype(np.int32) + 32768].tobytes()


def mu_law() -> G711:
    """North America and Japan: `g711_ulaw`."""
    return G711(_mu_law())


def a_law() -> G711:
    """The rest of the world: `g711_alaw`."""
    return G711(_a_law())
