"""Writes the catalogue of events into docs/events.md from the code; `--check` fails when it is out of date.

    python -m tools.event_catalogue [--check]

Types, versions, meaning and fields come from `voicehelper.events.catalogue`.
"""

import inspect
import sys
from collections.abc import Iterator
from typing import Any

from tools.generated_part import main
from voicehelper.events.catalogue import FACTS
from voicehelper.events.fact import Fact

_ORDERS = {"tenant": "`tenant`", "user": "`tenant:user`"}


def catalogue() -> str:
    """The parts about all types, in the catalogue's order."""
    return "\n".join(line for fact in FACTS for line in section(fact))


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
    sys.exit(main(__doc__, "events.md", "event_catalogue", catalogue))
