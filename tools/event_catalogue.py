"""Writes the catalogue of events into docs/events.md from the code; `--check` fails when it is out of date.

    python tools/event_catalogue.py [--check]

Types, versions, meaning and fields come from `voicehelper.events.catalogue`.
"""

import argparse
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from voicehelper.events.catalogue import FACTS
from voicehelper.events.fact import Fact

PAGE = Path(__file__).parents[1] / "docs" / "events.md"
BEGIN = "<!-- written by tools/event_catalogue.py -->"
END = "<!-- end of what tools/event_catalogue.py wrote -->"
_ORDERS = {"tenant": "`tenant`", "user": "`tenant:user`"}


def main() -> int:
    """Write or check the page; the exit status is honest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    page = PAGE.read_text()
    wanted = with_catalogue(page)
    if check and page != wanted:
        sys.stderr.write("docs/events.md lags behind the catalogue; run: python tools/event_catalogue.py\n")
        return 1
    if not check:
        PAGE.write_text(wanted)
    return 0


def with_catalogue(page: str) -> str:
    """`page` with the present catalogue between the markers. Raises `ValueError` where they lack."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE.name} needs the lines {BEGIN} and {END}")
    return f"{head}{BEGIN}\n" + "\n".join(line for fact in FACTS for line in section(fact)) + f"\n{END}{tail}"


def section(fact: type[Fact]) -> Iterator[str]:
    """The part about one type and version."""
    meaning = " ".join(inspect.cleandoc(fact.__doc__ or "").split())
    yield f"### `{fact.type}` v{fact.version}"
    yield f"{meaning} Key: {_ORDERS[fact.order]}."
    yield ""
    schema = fact.model_json_schema()
    fields: dict[str, dict[str, Any]] = schema.get("properties", {})
    if fields:
        yield "| field | type | meaning |"
        yield "| --- | --- | --- |"
        for name, field in fields.items():
            optional = "" if name in schema.get("required", ()) else ", may be missing"
            yield f"| `{name}` | {_type(field)}{optional} | {field.get('description', '')} |"
        yield ""


def _type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type(part) for part in field["anyOf"])
    if "enum" in field or "const" in field:
        return " \\| ".join(f"`{value}`" for value in field.get("enum") or [field["const"]])
    if field["type"] == "array":
        return f"list of {_type(field['items'])}"
    return str(field.get("format") or field["type"])


if __name__ == "__main__":
    sys.exit(main())
