"""Writes the catalogue of errors into docs/api.md from the error tree; `--check` fails when it is out of date.

    python -m tools.error_catalogue [--check]

Code, name and meaning come from `voicehelper.errors`, the English text from the class, the Chinese one from
`gateway.catalogue`. Codes that two classes share, and errors without a Chinese text, are refused.
"""

import inspect
import sys
from collections.abc import Iterable

from tools.generated_part import main
from voicehelper import errors
from voicehelper.documents.failures import MESSAGES
from voicehelper.errors import VoiceHelperError
from voicehelper.gateway.catalogue import ZH, ZH_REASONS

_UNFORESEEN = "Something nobody foresaw; the log has it under the trace id."


def catalogue() -> str:
    """Both tables: the errors, and the reasons of 42201."""
    kinds = error_kinds()
    untranslated = [kind.__name__ for kind in kinds if kind.code not in ZH]
    if untranslated:
        raise ValueError(f"No Chinese text in gateway/catalogue.py: {', '.join(untranslated)}")
    codes = [kind.code for kind in kinds]
    if len(set(codes)) < len(codes):
        raise ValueError("Two errors share a code")
    rows = ((kind.code, f"`{kind.__name__}`", ZH[kind.code], kind.default_message, _when(kind)) for kind in kinds)
    reasons = ((f"`{reason.value}`", ZH_REASONS[reason], text) for reason, text in MESSAGES.items())
    return "\n".join(
        [
            *_table(("code", "name", "中文", "English", "when"), rows),
            "",
            "`details.reason` of 42201, and `reason` of a document that failed:",
            "",
            *_table(("reason", "中文", "English"), reasons),
        ]
    )


def error_kinds() -> list[type[VoiceHelperError]]:
    """The whole error tree, by code."""
    found = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, VoiceHelperError)}
    return sorted(found, key=lambda kind: kind.code)


def _when(kind: type[VoiceHelperError]) -> str:
    """The first paragraph of its docstring, on one line."""
    if kind is VoiceHelperError:
        return _UNFORESEEN
    return " ".join(inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0].split())


def _table(titles: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> list[str]:
    lines = [titles, ("---",) * len(titles), *rows]
    return ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines]


if __name__ == "__main__":
    sys.exit(main(__doc__, "api.md", "error_catalogue", catalogue))
