"""`voicehelper up`: from nothing, or from what is there, to a running instance."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from voicehelper.cli.client import ClientError
from voicehelper.cli.first_run import say_what_next, show_sample
from voicehelper.cli.model_progress import ModelProgress
from voicehelper.cli.progress import Startup, first_word, wait_until_ready
from voicehelper.cli.steps import Steps
from voicehelper.config import Settings
from voicehelper.embedded.assembly import check_external
from voicehelper.embedded.control import start_supervisor
from voicehelper.embedded.instance import Instance, make_folders, open_instance
from voicehelper.embedded.models import ensure_models, text_models
from voicehelper.embedded.pidfile import AlreadyRunning, hold
from voicehelper.embedded.process import EngineError
from voicehelper.embedded.status import component_records, supervisor_of
from voicehelper.embedded.supervisor import sweep
from voicehelper.errors import ModelUnavailable, VoiceHelperError
from voicehelper.stores.postgres.bootstrap import bootstrap_admin


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
    instance = await first_word(settings, supervisor)
    if instance.ports.http != settings.http.port:
        steps.say(f"The API listens on port {instance.ports.http}: {settings.http.port} was taken when it was set up")
    admin = asyncio.create_task(_admin_when_possible(settings, instance))
    try:
        await Startup(settings, instance, supervisor, steps).wait()
        await wait_until_ready(instance, steps)
        await admin
    finally:
        admin.cancel()
    steps.done("Up", steps.elapsed)
    return instance


async def _rejoin(settings: Settings, steps: Steps) -> Instance:
    instance = open_instance(settings)
    if instance is None:
        raise EngineError(f"A supervisor runs, but {settings.home} is damaged; run `voicehelper down`")
    steps.say("Already running.")
    await wait_until_ready(instance, steps)
    await bootstrap_admin(settings)
    return instance


def _fetch_models(settings: Settings, steps: Steps) -> None:
    begun = time.monotonic()
    with ModelProgress(steps.console) as progress:
        try:
            paths = ensure_models(settings, progress=progress)
        except ModelUnavailable as failure:  # what can be had without a voice is not kept from anybody
            paths = ensure_models(settings, text_models(settings), progress)
            steps.say(f"Without voice until `voicehelper models pull` succeeds: {failure.message}")
    steps.done("Models", time.monotonic() - begun, ", ".join(paths))


async def _admin_when_possible(settings: Settings, instance: Instance) -> None:
    """Create the administrator while Ray is still starting."""
    while not _schema_ready(instance):  # noqa: ASYNC110 - the supervisor, another process, writes it
        await asyncio.sleep(0.1)
    await bootstrap_admin(settings)


def _schema_ready(instance: Instance) -> bool:
    return any(r["name"] == "schema" and r["state"] == "ready" for r in component_records(instance))


@contextmanager
def _only_one(settings: Settings, steps: Steps) -> Iterator[None]:
    """Holds the lock of `up`; a second `up` waits for the first one."""
    home = settings.home.absolute()
    with ExitStack() as stack:
        told = False
        while True:
            try:
                stack.enter_context(hold(home / "run" / "up.lock"))
                break
            except AlreadyRunning:
                if not told:
                    steps.say("Another `voicehelper up` is at work here; waiting for it.")
                told = True
                time.sleep(0.5)
            except OSError as error:
                raise EngineError(
                    f"Cannot write to {home}: {error.strerror}. Set VOICEHELPER_HOME to a folder you may write to."
                ) from error
        yield


def _fail(message: str) -> NoReturn:
    typer.echo(f"voicehelper up: {message}", err=True)
    raise typer.Exit(1)
