"""`voicehelper env`: variables with which Ray's own command talks to this instance."""

import shlex

import typer

from voicehelper.config import Settings
from voicehelper.embedded.instance import open_instance


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="env")(environment)


def environment() -> None:
    """Print shell assignments: `eval "$(voicehelper env)"`, then `ray job submit ...` works."""
    instance = open_instance(Settings())
    if instance is None:
        typer.echo("Nothing is set up here yet; run `voicehelper up`", err=True)
        raise typer.Exit(1)
    for name, value in {"VOICEHELPER_HOME": str(instance.home), **instance.ray_environment()}.items():
        typer.echo(f"export {name}={shlex.quote(value)}")
