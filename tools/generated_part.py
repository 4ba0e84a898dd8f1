"""A part of a documentation page that is written from the code, between two markers."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def main(description: str, page: str, tool: str, content: Callable[[], str]) -> int:
    """Write the part of `docs/<page>` that `python -m tools.<tool>` is for; with `--check`, see that it is up to date.

    Returns the exit status. Raises `ValueError` where the markers lack, and what `content` raises.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    path = DOCS / page
    present = path.read_text()
    wanted = _replaced(present, f"<!-- written by tools/{tool}.py -->", f"<!-- end of tools/{tool}.py -->", content())
    if check and present != wanted:
        sys.stderr.write(f"docs/{page} lags behind the code; run: python -m tools.{tool}\n")
        return 1
    if not check:
        path.write_text(wanted)
    return 0


def _replaced(page: str, begin: str, end: str, content: str) -> str:
    head, found, rest = page.partition(begin)
    _, ended, tail = rest.partition(end)
    if not (found and ended):
        raise ValueError(f"The page needs the lines {begin} and {end}")
    return f"{head}{begin}\n{content}\n{end}{tail}"
