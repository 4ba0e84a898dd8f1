"""Pages of lists that are ordered by id: UUIDv7 sorts by time of creation."""

from collections.abc import Callable, Sequence
from typing import TypeVar
from uuid import UUID

from voicehelper.errors import InvalidInput
from voicehelper.wire.common import Page

Row = TypeVar("Row")
Item = TypeVar("Item")


def decode_id(cursor: str | None) -> UUID | None:
    """The id behind a cursor. Raises `InvalidInput` when it is not one of ours."""
    if not cursor:
        return None
    try:
        return UUID(cursor)
    except ValueError as error:
        raise InvalidInput("Not a cursor of ours") from error


def page_of(rows: Sequence[Row], limit: int, id_of: Callable[[Row], UUID], view: Callable[[Row], Item]) -> Page[Item]:
    """A page of at most `limit` of `rows`, of which there is one more than that where another page follows."""
    shown = rows[:limit]
    return Page(
        items=[view(row) for row in shown],
        next_cursor=str(id_of(shown[-1])) if len(rows) > limit else None,
    )
