"""`voicehelper down`: stop everything, keep the data."""

import time

import typer

from voicehelper.config import Settings
from voicehelper.embedded.control import stop_instance
from voicehelper.errors import VoiceHelperError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(down)


def down() -> None:
    """Stop everything; the data stays. Does nothing when nothing runs."""
    settings = Settings()
    begun = time.monotonic()
    try:
        ran = stop_instance(settings)
    except VoiceHelperError as error:
        typer.echo(f"voicehelper down: {error}", err=True)
        raise typer.Exit(1) from error
    if ran:
        typer.echo(f"Stopped in {time.monotonic() - begun:.1f} s; the data stays in {settings.home.absolute()}")
    else:
        typer.echo("Not running")
