"""What an instance consists of, from the settings: the bundled engines or the user's, Ray, the application."""

import importlib.util
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import redis.asyncio
import yaml
from redis.exceptions import RedisError

from voicehelper.config import Settings
from voicehelper.embedded.component import Component, EngineComponent, ExternalEngine, Step
from voicehelper.embedded.instance import Instance
from voicehelper.embedded.postgres import EmbeddedPostgres
from voicehelper.embedded.process import EngineError, write_private
from voicehelper.embedded.ray import RayHead, ServeApplication
from voicehelper.embedded.valkey import EmbeddedValkey

Migrate = Callable[[str], Awaitable[list[int]]]


def components(settings: Settings, instance: Instance, migrate: Migrate) -> Sequence[Component]:
    """Everything the supervisor looks after, in the order of need.

    Args:
        settings: the environment's.
        instance: folders, ports and secrets.
        migrate: brings the schema of a database URL up to date; returns the versions it applied.
    """
    postgres = embedded_postgres(settings, instance)
    valkey = embedded_valkey(settings, instance)
    dsn = postgres.url() if postgres else settings.postgres_dsn()
    redis_url = valkey.url() if valkey else settings.redis_dsn()

    async def update_schema() -> str:
        if postgres:
            await postgres.ensure_database()
        applied = await migrate(dsn)
        return f"{len(applied)} migrations applied" if applied else "up to date"

    publish_urls(settings, dsn, redis_url, instance)
    environment = instance.environment()
    return [
        EngineComponent(postgres, environment) if postgres else _external("postgres", dsn, check_postgres),
        EngineComponent(valkey, environment) if valkey else _external("valkey", redis_url, check_redis),
        Step("schema", update_schema, needs=("postgres",)),
        RayHead(instance),
        ServeApplication(instance, serve_config(settings, instance), needs=("ray", "schema", "valkey")),
    ]


def embedded_postgres(settings: Settings, instance: Instance) -> EmbeddedPostgres | None:
    """The bundled PostgreSQL; None when the user named another."""
    if settings.postgres_url is not None:
        return None
    return EmbeddedPostgres(
        instance.home / "postgres",
        instance.ports.postgres,
        instance.secrets.postgres_password,
        instance.logs / "postgres.log",
    )


def embedded_valkey(settings: Settings, instance: Instance) -> EmbeddedValkey | None:
    """The bundled Valkey; None when the user named another."""
    if settings.redis_url is not None:
        return None
    return EmbeddedValkey(
        instance.home / "valkey", instance.ports.redis, instance.secrets.redis_password, instance.logs / "valkey.log"
    )


def publish_urls(settings: Settings, dsn: str, redis_url: str, instance: Instance) -> None:
    """Write the runtime file, from which `Settings` of other processes learns where the engines are."""
    record = {"postgres_url": dsn, "redis_url": redis_url, "http_url": instance.http_url}
    write_private(settings.runtime_file, json.dumps(record))


def serve_config(settings: Settings, instance: Instance) -> dict[str, Any]:
    """`serve_config.yaml` with this instance's port, and with what the environment sets over the file's arguments."""
    config: dict[str, Any] = yaml.safe_load(_serve_config_file().read_text())
    config["http_options"] = {
        **config.get("http_options", {}),
        "host": settings.http.host,
        "port": instance.ports.http,
    }
    set_by_environment = settings.model_dump(mode="json", exclude_unset=True)
    for application in config["applications"]:
        application["args"] = _overlaid(application.get("args", {}), set_by_environment)
    return config


def _overlaid(arguments: dict[str, Any], environment: dict[str, Any]) -> dict[str, Any]:
    """`arguments` with the values of those names that `environment` has too (it never adds a name)."""
    return {
        name: _overlaid(value, environment[name])
        if isinstance(value, dict) and isinstance(environment.get(name), dict)
        else environment.get(name, value)
        for name, value in arguments.items()
    }


def _serve_config_file() -> Path:
    spec = importlib.util.find_spec("deployments")
    if spec is None or spec.origin is None:
        raise EngineError("The package deployments is not installed")
    return Path(spec.origin).parent.parent / "serve_config.yaml"


def _external(name: str, url: str, check: Callable[[str], Awaitable[str]]) -> ExternalEngine:
    return ExternalEngine(name, lambda: check(url), urlsplit(url).port or 0)


async def check_external(settings: Settings) -> None:
    """See that the servers the user named can be used. Raises `EngineError` saying which cannot, and why."""
    if settings.postgres_url is not None:
        await check_postgres(settings.postgres_dsn())
    if settings.redis_url is not None:
        await check_redis(settings.redis_dsn())


async def check_postgres(dsn: str) -> str:
    """Version of the PostgreSQL at `dsn`, which must offer pgvector. Raises `EngineError`."""
    try:
        connection = await asyncpg.connect(dsn, timeout=5)
        try:
            if not await connection.fetchval("SELECT true FROM pg_available_extensions WHERE name = 'vector'"):
                raise EngineError("The PostgreSQL of VOICEHELPER_POSTGRES_URL lacks the extension pgvector")
            return str(await connection.fetchval("SHOW server_version"))
        finally:
            await connection.close()
    except (OSError, ValueError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise EngineError(f"The PostgreSQL of VOICEHELPER_POSTGRES_URL does not answer: {error}") from error


async def check_redis(url: str) -> str:
    """Version of the Redis or Valkey at `url`. Raises `EngineError`."""
    client = redis.asyncio.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5, protocol=2)
    try:
        info = await client.info("server")
        return str(info.get("valkey_version") or info["redis_version"])
    except (OSError, ValueError, RedisError) as error:
        raise EngineError(f"The server of VOICEHELPER_REDIS_URL does not answer: {error}") from error
    finally:
        await client.aclose()
