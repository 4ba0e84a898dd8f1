"""How an English word that is in no lexicon is probably said, from its letters.

The network is that of g2p-en (Park and Kim, Apache-2.0): a GRU reads the letters, another writes ARPAbet. Its weights
are a model file like any other; the code of that package is not used.
"""

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

_LETTERS = {letter: n for n, letter in enumerate("abcdefghijklmnopqrstuvwxyz", 3)}
_UNKNOWN_LETTER, _END_OF_WORD = 1, 2
_START, _STOP = 2, 3
_LONGEST = 20
_ARPABET: list[str] = re.findall(
    r"\S+",
    "AA0 AA1 AA2 AE0 AE1 AE2 AH0 AH1 AH2 AO0 AO1 AO2 AW0 AW1 AW2 AY0 AY1 AY2 B CH D DH EH0 EH1 EH2 ER0 ER1 ER2 EY0 EY1 "
    "EY2 F G HH IH0 IH1 IH2 IY0 IY1 IY2 JH K L M N NG OW0 OW1 OW2 OY0 OY1 OY2 P R S SH T TH UH0 UH1 UH2 UW UW0 UW1 UW2 "
    "V W Y Z ZH",
)
_SOUNDS: dict[str, str] = dict(
    re.findall(
        r"(\S+):(\S+)",
        "AA:ɑ AE:æ AH:ʌ AO:ɔ AW:W AY:I B:b CH:ʧ D:d DH:ð EH:ɛ ER:ɜɹ EY:A F:f G:ɡ HH:h IH:ɪ IY:i JH:ʤ K:k L:l M:m N:n "
        "NG:ŋ OW:O OY:Y P:p R:ɹ S:s SH:ʃ T:t TH:θ UH:ʊ UW:u V:v W:w Y:j Z:z ZH:ʒ",
    )
)
_WEAK = {"AH0": "ə", "ER0": "əɹ"}
_STRESS = {"1": "ˈ", "2": "ˌ"}


class Spelling:
    """Guesses from letters; a word of ten letters takes about a millisecond. Deterministic.

    Args:
        path: `checkpoint20.npz` of g2p-en 2.1.0.
    """

    def __init__(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as weights:
            self._weights: dict[str, Array] = {name: weights[name] for name in weights.files}

    def __call__(self, word: str) -> str:
        """Kokoro's phonemes for `word` (lower case, a to z)."""
        state = np.zeros(self._weights["enc_w_hh"].shape[1], np.float32)
        for letter in [*(_LETTERS.get(char, _UNKNOWN_LETTER) for char in word), _END_OF_WORD]:
            state = self._step("enc", self._weights["enc_emb"][letter], state)
        return "".join(map(_sound, self._write(state)))

    def _write(self, state: Array) -> list[str]:
        last, written = _START, []
        for _ in range(_LONGEST):
            state = self._step("dec", self._weights["dec_emb"][last], state)
            last = int((self._weights["fc_w"] @ state + self._weights["fc_b"]).argmax())
            if last <= _STOP:
                break
            written.append(_ARPABET[last - _STOP - 1])
        return written

    def _step(self, cell: str, seen: Array, state: Array) -> Array:
        """A gated recurrent unit: reset and update gates, then the candidate."""
        weights = self._weights
        of_seen = weights[f"{cell}_w_ih"] @ seen + weights[f"{cell}_b_ih"]
        of_state = weights[f"{cell}_w_hh"] @ state + weights[f"{cell}_b_hh"]
        size = len(state)
        gates = 1 / (1 + np.exp(-(of_seen[: 2 * size] + of_state[: 2 * size])))
        reset, update = gates[:size], gates[size:]
        candidate = np.tanh(of_seen[2 * size :] + reset * of_state[2 * size :])
        mixed: Array = (1 - update) * candidate + update * state
        return mixed


def _sound(arpabet: str) -> str:
    if arpabet in _WEAK:
        return _WEAK[arpabet]
    plain = arpabet.rstrip("012")
    return _STRESS.get(arpabet[len(plain) :], "") + _SOUNDS[plain]
