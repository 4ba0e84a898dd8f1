"""The HTTP interface: a plain ASGI application over services that are handed in."""

from voicehelper.gateway.app import create_app
from voicehelper.gateway.services import Knowledge, Probe, Services

__all__ = ["Knowledge", "Probe", "Services", "create_app"]
