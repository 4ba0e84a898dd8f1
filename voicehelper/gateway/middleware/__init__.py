"""Pure ASGI layers; `gateway.app` puts them in order."""

from voicehelper.gateway.middleware.authentication import Authentication
from voicehelper.gateway.middleware.boundary import Boundary
from voicehelper.gateway.middleware.cors import SocketOrigins, cors_options
from voicehelper.gateway.middleware.edge import Edge
from voicehelper.gateway.middleware.idempotency import Idempotency
from voicehelper.gateway.middleware.limits import BodyLimit, Deadlines
from voicehelper.gateway.middleware.rates import AddressLimit, PrincipalLimits

__all__ = [
    "AddressLimit",
    "Authentication",
    "BodyLimit",
    "Boundary",
    "Deadlines",
    "Edge",
    "Idempotency",
    "PrincipalLimits",
    "SocketOrigins",
    "cors_options",
]
