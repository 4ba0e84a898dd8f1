"""`voicehelper up`: from nothing, or from what is there, to a running instance."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import httpx
import typer
from rich.console import Console

from voicehelper.cli.client import ClientError
from voicehelper.cli.first_run import say_what_next, show_sample
from voicehelper.cli.model_progress import ModelProgress
from voicehelper.cli.steps import Steps
from voicehelper.config import Settings
from voicehelper.embedded.assembly import check_external
from voicehelper.embedded.control import start_supervisor, stop_instance
from voicehelper.embedded.instance import Instance, make_folders, open_instance
from voicehelper.embedded.logs import tail
from voicehelper.embedded.models import ensure_models
from voicehelper.embedded.pidfile import AlreadyRunning, hold
from voicehelper.embedded.process import EngineError
from voicehelper.embedded.status import component_records, supervisor_of
from voicehelper.embedded.supervisor import sweep
from voicehelper.errors import VoiceHelperError
from voicehelper.stores.postgres.bootstrap import bootstrap_admin

_HOPELESS = 4  # failures in a row of one component before `up` gives up
_PATIENCE_S = 600.0
_LABELS = {
    "postgres": "PostgreSQL",
    "valkey": "Valkey",
    "schema": "Database schema",
    "ray": "Ray head node",
    "application": "Serve application (gateway, models, indexer)",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(up)


def up(
    sample: Annotated[bool, typer.Option(help="Index the sample knowledge base and ask it, at first start")] = True,
) -> None:
    """Fetch the models, start everything in the background, and show that it answers. Run it again at any time."""
    settings = Settings()
    steps = Steps(Console(soft_wrap=True))
    try:
        with _only_one(settings, steps):
            running = supervisor_of(settings) is not None
            instance = asyncio.run(_rejoin(settings, steps) if running else _start(settings, steps))
            if sample:
                show_sample(settings, instance, steps)
        say_what_next(settings, instance, steps)
    except (VoiceHelperError, ClientError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("Interrupted. What has started goes on in the background; `voicehelper down` stops it.")


async def _start(settings: Settings, steps: Steps) -> Instance:
    with steps.step("Folder, disk"):
        sweep(settings.home.absolute())
        make_folders(settings.home.absolute())
        await check_external(settings)
    _fetch_models(settings, steps)
    supervisor = start_supervisor(settings, ["-m", "voicehelper.cli.main", "supervise"])
    instance = await _first_word(settings, supervisor)
    if instance.ports.http != settings.http.port:
        steps.say(f"Port {settings.http.port} is taken by another program; the API gets {instance.ports.http}")
    admin = asyncio.create_task(_admin_when_possible(settings, instance))
    try:
        await _wait_for_components(settings, instance, supervisor, steps)
        await _wait_until_ready(instance, steps)
        await admin
    finally:
        admin.cancel()
    steps.done("Up", steps.elapsed)
    return instance


async def _first_word(settings: Settings, supervisor: subprocess.Popen[bytes]) -> Instance:
    """The instance as the supervisor set it up: its ports are known only now."""
    home = settings.home.absolute()
    while not (home / "run" / "status.json").exists():
        if supervisor.poll() is not None:
            raise EngineError(" ".join(tail(home / "logs" / "supervisor.log", 1)))
        await asyncio.sleep(0.05)
    instance = open_instance(settings)
    if instance is None:
        raise EngineError(f"{home} is damaged; see `voicehelper logs supervisor`")
    return instance


async def _rejoin(settings: Settings, steps: Steps) -> Instance:
    instance = open_instance(settings)
    if instance is None:
        raise EngineError(f"A supervisor runs, but {settings.home} is damaged; run `voicehelper down`")
    steps.say("Already running.")
    await _wait_until_ready(instance, steps)
    await bootstrap_admin(settings)
    return instance


def _fetch_models(settings: Settings, steps: Steps) -> None:
    begun = time.monotonic()
    with ModelProgress(steps.console) as progress:
        paths = ensure_models(settings, progress=progress)
    steps.done("Models", time.monotonic() - begun, ", ".join(paths))


async def _admin_when_possible(settings: Settings, instance: Instance) -> None:
    """Create the administrator while Ray is still starting."""
    while not _schema_ready(instance):  # noqa: ASYNC110 - the supervisor, another process, writes it
        await asyncio.sleep(0.1)
    await bootstrap_admin(settings)


def _schema_ready(instance: Instance) -> bool:
    return any(r["name"] == "schema" and r["state"] == "ready" for r in component_records(instance))


async def _wait_for_components(
    settings: Settings, instance: Instance, supervisor: subprocess.Popen[bytes], steps: Steps
) -> None:
    """Print each component when it is ready. Raises `EngineError` when one cannot be started."""
    shown: set[str] = set()
    deadline = time.monotonic() + _PATIENCE_S
    with steps.spinner("starting"):
        while True:
            records = component_records(instance)
            for record in records:
                if record["state"] == "ready" and record["name"] not in shown:
                    shown.add(record["name"])
                    steps.done(_LABELS.get(record["name"], record["name"]), record["ready_ms"] / 1000, _note(record))
            pending = [r for r in records if r["name"] not in shown]
            if records and not pending:
                return
            steps.waiting(", ".join(_LABELS.get(r["name"], r["name"]) for r in pending if r["state"] != "waiting"))
            _give_up_if_hopeless(settings, instance, supervisor, pending, deadline)
            await asyncio.sleep(0.1)


def _give_up_if_hopeless(
    settings: Settings,
    instance: Instance,
    supervisor: subprocess.Popen[bytes],
    pending: list[dict[str, Any]],
    deadline: float,
) -> None:
    if supervisor.poll() is not None:
        last = tail(instance.logs / "supervisor.log", 1)
        raise EngineError(f"The supervisor ended: {' '.join(last)}")
    lost = [r for r in pending if r["failures"] >= _HOPELESS]
    if not lost and time.monotonic() < deadline:
        return
    record = (lost or pending)[0]
    lines = tail(instance.logs / f"{record['name']}.log", 5)
    stop_instance(settings)
    raise EngineError(
        "\n".join([f"{_LABELS[record['name']]} cannot be started: {record['reason']}", *lines])
        + f"\nEverything was stopped again. Logs: {instance.logs}"
    )


async def _wait_until_ready(instance: Instance, steps: Steps) -> None:
    """Until `/ready` answers 200. Raises `EngineError` after ten minutes."""
    begun = time.monotonic()
    reason = ""
    async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
        with steps.spinner("waiting for the API"):
            while time.monotonic() - begun < _PATIENCE_S:
                try:
                    response = await client.get(f"{instance.http_url}/ready")
                    if response.status_code == httpx.codes.OK:
                        steps.done(f"API ready at {instance.http_url}", time.monotonic() - begun)
                        return
                    reason = response.text[:300]
                except httpx.HTTPError as error:
                    reason = str(error)
                await asyncio.sleep(0.1)
    raise EngineError(f"The API does not become ready: {reason}. See `voicehelper status` and `voicehelper logs`.")


@contextmanager
def _only_one(settings: Settings, steps: Steps) -> Iterator[None]:
    """Holds the lock of `up`; a second `up` waits for the first one."""
    home = settings.home.absolute()
    told = False
    while True:
        try:
            with hold(home / "run" / "up.lock"):
                yield
                return
        except AlreadyRunning:
            if not told:
                steps.say("Another `voicehelper up` is at work here; waiting for it.")
            told = True
            time.sleep(0.5)
        except OSError as error:
            raise EngineError(
                f"Cannot write to {home}: {error.strerror}. Set VOICEHELPER_HOME to a folder you may write to."
            ) from error


def _note(record: dict[str, Any]) -> str:
    port = f"port {record['port']}" if record["port"] else ""
    return ", ".join(part for part in (record["version"], port, "" if record["managed"] else "yours") if part)


def _fail(message: str) -> NoReturn:
    typer.echo(f"voicehelper up: {message}", err=True)
    sys.exit(1)
