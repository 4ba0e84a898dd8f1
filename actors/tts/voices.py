"""Kokoro's voices that come with us, and which one speaks."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from voicehelper.errors import InvalidInput, ModelUnavailable
from voicehelper.ports.speech import Voice

_SHAPE = (510, 256)  # one style for each number of phonemes
NAMES = (
    "zf_xiaoxiao",
    "zf_xiaoyi",
    "zf_xiaobei",
    "zf_xiaoni",
    "zm_yunxi",
    "zm_yunjian",
    "zm_yunxia",
    "zm_yunyang",
    "af_heart",
    "af_bella",
    "am_michael",
    "am_fenrir",
)
"""In the order in which they lie in the file of voices (see the manifest)."""

_LANGUAGES = {"z": ("zh", "en"), "a": ("en", "zh")}
_GENDERS = {"f": "female", "m": "male"}


def describe(name: str) -> Voice:
    """What a name says: its own language first; every voice says both."""
    return Voice(name, _LANGUAGES[name[0]], _GENDERS[name[1]])


class Voices:
    """The voices of one file.

    Args:
        path: float32, one block of 510 styles of 256 numbers for each of `NAMES`.
        default: the voice of who names none; empty for the first one of the language.
    """

    def __init__(self, path: Path, default: str = "") -> None:
        styles = np.fromfile(path, dtype="<f4")
        if styles.size != len(NAMES) * np.prod(_SHAPE):
            raise ModelUnavailable(f"{path.name} does not hold the voices")
        self._styles = dict(zip(NAMES, styles.reshape(-1, *_SHAPE), strict=True))
        self._default = default
        if default:
            self.choose(default, "")

    def choose(self, name: str, language: str) -> str:
        """The voice to speak with. Raises `InvalidInput` for an unknown one."""
        wanted = name or self._default
        if not wanted:
            return next((voice for voice in NAMES if _LANGUAGES[voice[0]][0] == language), NAMES[0])
        if wanted not in self._styles:
            raise InvalidInput(f"No voice {wanted!r}", {"voices": list(NAMES)})
        return wanted

    def style(self, name: str, phonemes: int) -> npt.NDArray[np.float32]:
        """How `name` says so many phonemes, shape (1, 256)."""
        style: npt.NDArray[np.float32] = self._styles[name][min(max(phonemes, 1), _SHAPE[0]) - 1][None]
        return style
