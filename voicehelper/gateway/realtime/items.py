"""The conversation's items as a client knows them: of this connection, the last few hundred."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from uuid import UUID

from voicehelper.gateway.realtime.refusals import Refusal, ServerEvent
from voicehelper.ids import new_id

MOST_ITEMS: Final = 300
ROOT: Final = "root"

Role = Literal["user", "assistant"]


@dataclass(slots=True)
class Item:
    """A message.

    Attributes:
        kind: of its content: `input_text`, `input_audio`, `output_text`, `output_audio`.
        text: what it says; None where that is not known (yet).
        message_id: ours, of an answer.
        citations: what an answer rests on, as JSON.
    """

    id: str
    role: Role
    kind: str
    text: str | None = None
    status: str = "completed"
    message_id: UUID | None = None
    citations: list[Any] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        """As the protocol shows it. Sound is not kept."""
        words = "text" if self.kind.endswith("text") else "transcript"
        item = {
            "id": self.id,
            "object": "realtime.item",
            "type": "message",
            "status": self.status,
            "role": self.role,
            "content": [] if self.status == "in_progress" else [{"type": self.kind, words: self.text}],
        }
        return {**item, "citations": self.citations} if self.citations else item


def item_id() -> str:
    """A new item's id."""
    return f"item_{new_id().hex}"


class Items:
    """Items in order; what is added goes to the end."""

    def __init__(self) -> None:
        self._items: OrderedDict[str, Item] = OrderedDict()

    @property
    def last_id(self) -> str | None:
        """The last item's id."""
        return next(reversed(self._items), None)

    def get(self, wanted: str, param: str = "item_id") -> Item:
        """An item. Raises `Refusal`."""
        found = self._items.get(wanted)
        if found is None:
            raise Refusal("item_not_found", f"The item '{wanted}' is not known here.", param)
        return found

    def check_new(self, wanted: str | None, previous: str | None) -> None:
        """Raises `Refusal` where an item with this id, or at this place, cannot be added."""
        if wanted in self._items:
            raise Refusal("item_already_exists", f"There is an item '{wanted}' already.", "item.id")
        if previous is None or previous == self.last_id or (previous == ROOT and not self._items):
            return
        if previous != ROOT:
            self.get(previous, "previous_item_id")
        raise Refusal("invalid_value", "Items can be added to the end only.", "previous_item_id")

    def add(self, item: Item) -> ServerEvent:
        """Put `item` at the end; the event that says so."""
        previous = self.last_id
        self._items[item.id] = item
        while len(self._items) > MOST_ITEMS:
            self._items.popitem(last=False)
        return {"type": "conversation.item.added", "previous_item_id": previous, "item": item.shown()}

    def done(self, item: Item) -> ServerEvent:
        """The event that says that `item` is complete."""
        return {"type": "conversation.item.done", "previous_item_id": self._before(item.id), "item": item.shown()}

    def remove(self, item: Item) -> None:
        """Take `item` out."""
        self._items.pop(item.id, None)

    def _before(self, wanted: str) -> str | None:
        before = None
        for known in self._items:
            if known == wanted:
                return before
            before = known
        return None
