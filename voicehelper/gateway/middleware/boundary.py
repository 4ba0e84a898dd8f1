"""Where every failure ends: a response of our format, if none was begun."""

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from voicehelper.gateway.problems import as_error, error_response


class Boundary:
    """Renders what the layers below raise. After the response has begun, the failure is only logged: the broken
    connection tells the client."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            return
        except Exception as failure:  # the process outlives any request; `as_error` logs what is not meant for clients
            if started:
                as_error(failure)
                raise
            await error_response(failure)(scope, receive, send)
