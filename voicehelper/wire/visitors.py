"""Tokens for the anonymous visitors of a web site."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from voicehelper.wire.common import Body, View, storable
from voicehelper.wire.conversations import Bases


class VisitorTokenCreate(Body):
    """A new visitor with a conversation; or another token for one who is still there (`conversation_id`)."""

    knowledge_bases: Bases = Field(
        default_factory=list, description="Ids or names of what may be searched; none: all of the tenant's"
    )
    title: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200), AfterValidator(storable)] = ""
    ttl_s: Annotated[int, Field(ge=60, le=7 * 86400)] | None = Field(
        None, description="Life of the token in seconds; none: the longest allowed, an hour by default"
    )
    conversation_id: UUID | None = Field(None, description="Of a visitor whose token is to be renewed")


class VisitorTokenView(View):
    """What a web site hands to its visitor: good for this conversation alone."""

    token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the OAuth 2 name of the scheme
    expires_in: int = Field(description="Seconds")
    conversation_id: UUID
    visitor_id: UUID
