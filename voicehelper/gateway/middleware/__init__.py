"""Pure ASGI layers, outermost first: Edge, Boundary, Authentication, BodyLimit, Deadlines."""

from voicehelper.gateway.middleware.authentication import Authentication
from voicehelper.gateway.middleware.boundary import Boundary
from voicehelper.gateway.middleware.edge import Edge
from voicehelper.gateway.middleware.limits import BodyLimit, Deadlines

__all__ = ["Authentication", "BodyLimit", "Boundary", "Deadlines", "Edge"]
