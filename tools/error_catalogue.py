"""Writes the catalogue of errors into docs/api.md from the error tree; `--check` fails when it is out of date.

    python tools/error_catalogue.py [--check]

Code, name and meaning come from `voicehelper.errors`, the English text from the class, the Chinese one from
`gateway.catalogue`. Codes that two classes share, and errors without a Chinese text, are refused.
"""

import argparse
import inspect
import sys
from collections.abc import Iterable
from pathlib import Path

from voicehelper import errors
from voicehelper.documents.failures import MESSAGES
from voicehelper.errors import VoiceHelperError
from voicehelper.gateway.catalogue import ZH, ZH_REASONS

PAGE = Path(__file__).parents[1] / "docs" / "api.md"
BEGIN = "<!-- written by tools/error_catalogue.py -->"
END = "<!-- end of what tools/error_catalogue.py wrote -->"
_UNFORESEEN = "Something nobody foresaw; the log has it under the trace id."


def main() -> int:
    """Write or check the page; the exit status is honest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    page = PAGE.read_text()
    wanted = with_catalogue(page)
    if check and page != wanted:
        sys.stderr.write("docs/api.md lags behind the error tree; run: python tools/error_catalogue.py\n")
        return 1
    if not check:
        PAGE.write_text(wanted)
    return 0


def with_catalogue(page: str) -> str:
    """`page` with the present catalogue between the markers. Raises `ValueError` where they or a translation lack."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE.name} needs the lines {BEGIN} and {END}")
    return f"{head}{BEGIN}\n{catalogue()}\n{END}{tail}"


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
    sys.exit(main())
