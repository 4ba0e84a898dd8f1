"""What an event says: a typed, versioned fact, and its way into and out of an `Event`."""

import time
from collections.abc import Callable
from typing import ClassVar, Literal, cast
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from voicehelper.errors import VoiceHelperError
from voicehelper.ids import new_id
from voicehelper.ports.events import Event

Order = Literal["tenant", "user"]


class UnreadableEvent(VoiceHelperError):
    """An event of a type or version that this code does not know, or whose payload does not fit its type."""

    default_message = "The event cannot be read"


class Fact(BaseModel):
    """The payload of one type and version of event. Holds ids, names of ours and numbers; never text people wrote,
    addresses, names of people, tokens.

    A field may be added to a version if it has a default; anything else is a new version beside the old one.

    Attributes:
        type: `resource.verb`, past tense.
        order: among which events the order is kept: the tenant's, or those of one of its users (field `user_id`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: ClassVar[str]
    version: ClassVar[int] = 1
    order: ClassVar[Order] = "tenant"


def order_key(tenant_id: UUID, fact: Fact) -> str:
    """`tenant:user` or `tenant`: events of one key reach a consumer in order."""
    return f"{tenant_id}:{cast(UUID, getattr(fact, 'user_id'))}" if fact.order == "user" else str(tenant_id)  # noqa: B009


def new_event(tenant_id: UUID, fact: Fact, now: Callable[[], float] = time.time) -> Event:
    """`fact`, about to be published for `tenant_id`."""
    payload = fact.model_dump(mode="json")
    return Event(new_id(), fact.type, tenant_id, payload, fact.version, order_key(tenant_id, fact), now())


def read_fact(kind: type[Fact], event: Event) -> Fact:
    """The payload of `event` as `kind`; fields that a newer writer added are left out.

    Raises:
        UnreadableEvent: the payload does not fit.
    """
    try:
        return kind.model_validate(event.payload, extra="ignore")
    except ValidationError as error:
        fields = sorted({".".join(map(str, item["loc"])) for item in error.errors(include_url=False)})
        raise UnreadableEvent(f"Payload of {event.type} v{event.version} does not fit", {"fields": fields}) from error
