"""The OpenAPI document, read as a list of what can be asked: operations with their parameters and minimal bodies."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

METHODS = ("get", "post", "put", "patch", "delete")
Fill = Callable[[str, dict[str, Any]], object]
"""(name of the field, its schema) -> a value, or `LEAVE` for the one that the schema suggests."""
LEAVE = object()


@dataclass(frozen=True)
class Operation:
    """One route with one method."""

    method: str
    path: str
    path_names: tuple[str, ...]
    query: tuple[tuple[str, dict[str, Any]], ...]
    body: dict[str, Any] | None  # JSON schema
    upload: bool
    open: bool
    components: dict[str, Any] = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def writes(self) -> bool:
        return self.method != "GET"

    def fields(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Names and schemas of the body's fields, however deep."""
        if self.body is not None:
            yield from _fields(self.body, self.components)

    def minimal_body(self, fill: Fill, optional: bool = False) -> Any:
        """A body that the schema accepts; optional fields where `fill` has a value for them, or all of them."""
        assert self.body is not None
        return _instance("", self.body, self.components, fill, optional)


def operations(document: dict[str, Any]) -> list[Operation]:
    """All of the document's, in its order."""
    return [
        _operation(method, path, item, document)
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    ]


def _operation(method: str, path: str, item: dict[str, Any], document: dict[str, Any]) -> Operation:
    operation = item[method]
    parameters = [*item.get("parameters", ()), *operation.get("parameters", ())]
    content = operation.get("requestBody", {}).get("content", {})
    return Operation(
        method.upper(),
        path,
        tuple(p["name"] for p in parameters if p["in"] == "path"),
        tuple((p["name"], p["schema"]) for p in parameters if p["in"] == "query"),
        content.get("application/json", {}).get("schema"),
        "multipart/form-data" in content,
        operation.get("security") == [],
        document["components"]["schemas"],
    )


def resolved(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """`schema` without a reference at its top, and the first alternative that is not null."""
    while True:
        if "$ref" in schema:
            schema = components[schema["$ref"].rsplit("/", 1)[-1]]
        elif "anyOf" in schema or "oneOf" in schema:
            choices = [c for c in schema.get("anyOf") or schema["oneOf"] if c.get("type") != "null"]
            schema = {**choices[0], **{k: v for k, v in schema.items() if k not in {"anyOf", "oneOf"}}}
        elif len(schema.get("allOf", ())) == 1:
            schema = schema["allOf"][0]
        else:
            return schema


def _fields(schema: dict[str, Any], components: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    schema = resolved(schema, components)
    for name, inner in schema.get("properties", {}).items():
        found = resolved(inner, components)
        yield name, found
        yield from _fields(found.get("items", found) if found.get("type") == "array" else found, components)


def _instance(name: str, schema: dict[str, Any], components: dict[str, Any], fill: Fill, optional: bool) -> Any:
    schema = resolved(schema, components)
    given = fill(name, schema) if name else LEAVE
    if given is not LEAVE:
        return given
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object" | None:
            return _object(schema, components, fill, optional)
        case "array":
            wanted = max(schema.get("minItems", 0), int(optional))
            return [_instance(name, schema["items"], components, fill, optional) for _ in range(wanted)]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return False
        case _:
            return _text(schema)


def _object(schema: dict[str, Any], components: dict[str, Any], fill: Fill, optional: bool) -> dict[str, Any]:
    required = set(schema.get("required", ()))
    found = {}
    for name, inner in schema.get("properties", {}).items():
        if optional or name in required or fill(name, resolved(inner, components)) is not LEAVE:
            found[name] = _instance(name, inner, components, fill, optional)
    return found


def _text(schema: dict[str, Any]) -> str:
    match schema.get("format"):
        case "uuid":
            return "00000000-0000-7000-8000-000000000000"
        case "date-time":
            return "2030-01-01T00:00:00Z"
        case "uri":
            return "https://example.com/a"
        case "email":
            return "nobody@example.com"
        case _:
            return "x" * max(1, schema.get("minLength", 1))
