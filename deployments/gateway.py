"""The ingress: the gateway's FastAPI application, built inside the replica with the nodes it can reach."""

from typing import Any

from fastapi import FastAPI
from ray import serve
from starlette.middleware import Middleware

from deployments.admission import Admission
from deployments.direct import also_listen
from deployments.options import GATEWAY, admitted
from deployments.remote import Handle
from deployments.replica import open_nodes
from deployments.services import gateway_services
from voicehelper.gateway import create_app


@serve.ingress()
class Gateway:
    """Builds the application when the replica starts (Serve then runs its lifespan), reports health, closes."""

    def __init__(self, args: dict[str, Any], handles: dict[str, Handle]) -> None:
        self._nodes = open_nodes(GATEWAY, args, handles)

    async def __serve_build_asgi_app__(self) -> FastAPI:  # Serve's name for its hook
        app = create_app(await gateway_services(self._nodes))
        # Appended, it lies innermost: behind authentication, and within what renders errors.
        app.user_middleware.append(Middleware(Admission, limit=admitted(self._nodes.settings)))
        also_listen(app, self._nodes)
        return app

    async def check_health(self) -> None:
        """Raises when a background task of this replica died: Serve then replaces the replica."""
        self._nodes.check()

    async def __del__(self) -> None:
        """Serve awaits this at graceful shutdown, after the application's lifespan has ended."""
        await self._nodes.close()
