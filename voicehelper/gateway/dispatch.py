"""Finding the route of a request without looking at all of them.

FastAPI tries its routes one after another, and within included routers each of them twice or three times: with our
seventy routes that took longer than all the rest the gateway does. Here the routes of all routers are made anew with
their whole paths, and looked up by the beginning of the path, of which each has its handful.
"""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any, Final

from fastapi import APIRouter
from fastapi.routing import APIRoute, APIWebSocketRoute, RouteContext, iter_route_contexts
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

FlatRoute = APIRoute | APIWebSocketRoute

_SEGMENTS: Final = 3  # /api/v1/conversations
_CHOSEN: Final = "gateway.chosen_route"


def flat_routes(*routers: APIRouter) -> list[FlatRoute]:
    """The routes of `routers` and of those within them, with whole paths and all that the routers gave them."""
    return [_flat(context) for router in routers for context in iter_route_contexts(router.routes)]


class RouteIndex(BaseRoute):
    """Stands in an application for many routes. Of those with the same literal beginning that match, the first one
    serves, as ever; of several beginnings (at most three segments), the longest."""

    def __init__(self, routes: Sequence[FlatRoute]) -> None:
        self._by_beginning: dict[str, list[FlatRoute]] = {}
        for route in routes:
            longest = next(_beginnings(route.path.partition("/{")[0]))
            self._by_beginning.setdefault(longest, []).append(route)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Starlette's question: whether, and with which parameters."""
        if scope["type"] not in {"http", "websocket"}:
            return Match.NONE, {}
        partial: tuple[Match, Scope] = Match.NONE, {}
        for beginning in _beginnings(_path(scope)):
            for route in self._by_beginning.get(beginning, ()):
                match, found = route.matches(scope)
                if match is Match.FULL:
                    return match, {**found, _CHOSEN: route}
                if match is Match.PARTIAL and partial[0] is Match.NONE:
                    partial = match, {**found, _CHOSEN: route}
        return partial

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve by the route that matched."""
        route: FlatRoute = scope[_CHOSEN]
        await route.handle(scope, receive, send)


def _flat(context: RouteContext) -> FlatRoute:
    """A route of its own with what `context` knows: the constructor's parameters are its attributes."""
    kind = type(context.original_route)
    base = APIRoute if issubclass(kind, APIRoute) else APIWebSocketRoute
    if not issubclass(kind, base):
        raise TypeError(f"{kind.__name__} cannot be looked up")
    names = list(inspect.signature(base.__init__).parameters)[1:]
    given: dict[str, Any] = {name: getattr(context, name) for name in names if hasattr(context, name)}
    return kind(**given)


def _beginnings(path: str) -> Iterator[str]:
    """The path's first segments with a slash each, then fewer of them."""
    parts = path.split("/", _SEGMENTS + 1)[: _SEGMENTS + 1]
    for end in range(len(parts), 1, -1):
        yield "/".join(parts[:end])


def _path(scope: Scope) -> str:
    """The path below the one we are mounted at."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root) if root else path
