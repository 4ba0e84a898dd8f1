"""`voicehelper supervise` (hidden): the process in the background that keeps everything running."""

import asyncio
import os
import shutil
import signal
import sys

import typer

from voicehelper.config import Settings
from voicehelper.embedded.assembly import components
from voicehelper.embedded.instance import set_up
from voicehelper.embedded.pidfile import AlreadyRunning, hold
from voicehelper.embedded.supervisor import Supervisor, sweep
from voicehelper.errors import VoiceHelperError
from voicehelper.ports.clock import SystemClock
from voicehelper.stores.postgres.migrate import migrate
from voicehelper.telemetry import configure_logging, get_logger

log = get_logger("supervisor")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="supervise", hidden=True)(supervise)


def supervise() -> None:
    """Run the instance in the foreground until SIGTERM or Ctrl-C (what `up` starts in the background)."""
    settings = Settings()
    configure_logging(settings.telemetry.log_level)
    try:
        with hold(settings.home.absolute() / "run" / "supervisor.pid"):
            asyncio.run(_run(settings))
    except AlreadyRunning:
        sys.exit("Already running")
    except VoiceHelperError as error:
        log.error("supervisor.failed", reason=str(error))
        sys.exit(str(error))


async def _run(settings: Settings) -> None:
    swept = sweep(settings.home.absolute())
    if swept:
        log.warning("supervisor.swept", processes=swept)
    instance = set_up(settings)
    shutil.rmtree(instance.metrics, ignore_errors=True)
    instance.metrics.mkdir()
    supervisor = Supervisor(
        components(settings, instance, migrate), instance.run / "status.json", instance.logs, SystemClock()
    )
    for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(sign, supervisor.stop)
    log.info("supervisor.started", pid=os.getpid(), home=str(instance.home))
    await supervisor.run()
    log.info("supervisor.stopped")
