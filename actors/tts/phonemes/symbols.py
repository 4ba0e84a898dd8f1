"""Kokoro's alphabet: one number for each symbol, as in the `vocab` of hexgrad/Kokoro-82M (Apache-2.0)."""

_RUNS = {
    1: ";:,.!?",
    9: '—…"()“” \u0303ʣʥʦʨᵝ\uab67AI',
    31: "O",
    33: "Q",
    35: "ST",
    39: "W",
    41: "Yᵊabcdef",
    50: "hijklmnopqrstuvwxyzɑɐɒæ",
    75: "βɔɕç",
    80: "ɖðʤə",
    85: "ɚɛɜ",
    90: "ɟ",
    92: "ɡ",
    99: "ɥ",
    101: "ɨɪʝ",
    110: "ɯɰŋɳɲɴø",
    118: "ɸθœ",
    123: "ɹ",
    125: "ɾɻ",
    128: "ʁɽʂʃʈʧ",
    135: "ʊʋ",
    138: "ʌɣɤ",
    142: "χʎ",
    147: "ʒʔ",
    156: "ˈˌː",
    162: "ʰ",
    164: "ʲ",
    169: "↓",
    171: "→↗↘",
    177: "ᵻ",
}
SYMBOLS: dict[str, int] = {symbol: start + n for start, run in _RUNS.items() for n, symbol in enumerate(run)}
"""Number of each symbol; 0 stands at both ends of what the model reads."""


def numbers(phonemes: str) -> list[int]:
    """The numbers of `phonemes`; symbols the model does not know are left out."""
    return [SYMBOLS[symbol] for symbol in phonemes if symbol in SYMBOLS]
