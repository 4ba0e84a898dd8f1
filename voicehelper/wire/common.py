"""Types shared by all bodies: texts that every engine can store, pages, the error body."""

from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

Item = TypeVar("Item")


def storable(text: str) -> str:
    """`text`, unless PostgreSQL could not store it (raises `ValueError`)."""
    if "\x00" in text:
        raise ValueError("NUL characters are not allowed")
    return text


Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(storable)]
Question = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=8000), AfterValidator(storable)
]
Paragraph = Annotated[str, StringConstraints(max_length=2000), AfterValidator(storable)]


class Body(BaseModel):
    """A request body; unknown fields are refused, so that a misspelt one is noticed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class View(BaseModel):
    """A response body or a part of one."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class Page(View, Generic[Item]):
    """A slice of a list. `next_cursor` goes into the next request's `cursor`; null on the last page."""

    items: list[Item]
    next_cursor: str | None = None


class ErrorBody(View):
    """Every error, of every route."""

    code: int = Field(description="HTTP status x 100 + n; never changes its meaning", examples=[40401])
    message: str = Field(description="For people, in the language of Accept-Language (zh or en)")
    details: dict[str, Any] = Field(default_factory=dict, description="Facts that help the caller")
    trace_id: str = Field(description="Names this request in logs and traces")
