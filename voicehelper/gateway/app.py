"""Puts the application together."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from voicehelper import __version__
from voicehelper.errors import VoiceHelperError
from voicehelper.gateway.dispatch import FlatRoute, RouteIndex, flat_routes
from voicehelper.gateway.docs import serve_docs
from voicehelper.gateway.middleware import (
    AddressLimit,
    Authentication,
    BodyLimit,
    Boundary,
    Deadlines,
    Edge,
    Idempotency,
    PrincipalLimits,
    SocketOrigins,
    cors_options,
)
from voicehelper.gateway.openapi import document_api
from voicehelper.gateway.pages import serve_pages
from voicehelper.gateway.problems import handle
from voicehelper.gateway.routes import ROUTERS
from voicehelper.gateway.services import Services


def create_app(services: Services) -> FastAPI:
    """The whole HTTP interface over `services`; its lifespan starts and stops `services.answers`."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await services.answers.start()
        try:
            yield
        finally:
            await services.answers.stop()

    app = FastAPI(
        title="VoiceHelper",
        version=__version__,
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,
        docs_url=None,
        # FastAPI's own spans and logs hold paths, queries and bodies: names, questions, secrets. `Edge` has ours.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.services = services
    routes = flat_routes(*ROUTERS)
    app.router.routes.append(RouteIndex(routes))
    for failure in (HTTPException, RequestValidationError, WebSocketRequestValidationError, VoiceHelperError):
        app.add_exception_handler(failure, handle)
    add_layers(app, services, routes)
    document_api(app, routes)
    serve_docs(app)
    serve_pages(app)
    return app


def add_layers(app: FastAPI, services: Services, routes: Sequence[FlatRoute] = ()) -> None:
    """Each one added wraps those before it: Edge is outermost. CORS lies around Boundary, so that pages of other sites
    can read errors too."""
    http, rates = services.http, services.rates
    app.add_middleware(Deadlines, settings=http)
    if services.idempotency is not None:
        app.add_middleware(Idempotency, store=services.idempotency, settings=http)
    app.add_middleware(BodyLimit, settings=http)
    if rates is not None:
        app.add_middleware(PrincipalLimits, rates=rates)
    app.add_middleware(Authentication, authenticator=services.authenticator)
    if rates is not None:
        app.add_middleware(AddressLimit, rates=rates)
    app.add_middleware(SocketOrigins, origins=http.cors_origins)
    app.add_middleware(Boundary)
    if http.cors_origins:
        app.add_middleware(CORSMiddleware, **cors_options(http.cors_origins))
    app.add_middleware(Edge, settings=http, templates={route.endpoint: route.path for route in routes})
