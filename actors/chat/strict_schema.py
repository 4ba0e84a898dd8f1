"""Whether a JSON schema keeps the rules of OpenAI's strict mode, which refuses the others."""

from typing import Any


def is_strict(schema: Any) -> bool:
    """Every object within closes itself (`additionalProperties: false`) and requires all its properties."""
    if isinstance(schema, list):
        return all(is_strict(item) for item in schema)
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    if isinstance(properties, dict) or schema.get("type") == "object":
        closed = schema.get("additionalProperties") is False
        if not closed or set(properties or ()) != set(schema.get("required") or ()):
            return False
        return all(is_strict(value) for value in (properties or {}).values()) and _rest(schema)
    return _rest(schema)


def _rest(schema: dict[str, Any]) -> bool:
    named = [part for key in ("$defs", "definitions") for part in (schema.get(key) or {}).values()]
    return is_strict(named) and is_strict([schema.get(key) for key in ("items", "anyOf", "allOf", "oneOf", "not")])
