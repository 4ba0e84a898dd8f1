"""Settings that travel to replicas: everything but secrets, which each process reads from its own environment."""

from typing import Any

from pydantic import BaseModel, SecretStr

from voicehelper.config import Settings, public_arguments
from voicehelper.errors import InvalidInput


def replica_args(settings: Settings) -> dict[str, Any]:
    """JSON-ready arguments from which `Settings(**args)` in a replica makes the same tree.

    Raises `InvalidInput` naming a secret that is set but would not reach a replica, because it came by the
    application's arguments (which the Ray dashboard shows) and not by the environment.
    """
    args = public_arguments(settings)
    missing = sorted(_secrets(settings) - _secrets(Settings(**args)))
    if missing:
        raise InvalidInput(f"Secrets are taken from the environment alone, not from the arguments: {missing}")
    return args


def _secrets(section: BaseModel, prefix: str = "") -> set[str]:
    found = set()
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, SecretStr) and value.get_secret_value():
            found.add(prefix + name)
        elif isinstance(value, BaseModel):
            found |= _secrets(value, f"{prefix}{name}.")
    return found
