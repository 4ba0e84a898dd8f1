"""`voicehelper logs`: what the components wrote."""

from pathlib import Path
from typing import Annotated

import typer

from voicehelper.config import Settings
from voicehelper.embedded.instance import Instance, open_instance
from voicehelper.embedded.logs import follow, tail


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(logs)


def logs(
    component: Annotated[str, typer.Argument(help="supervisor, postgres, valkey, ray, application; all if none")] = "",
    lines: Annotated[int, typer.Option("--lines", "-n", help="Last lines of each file", min=0)] = 20,
    following: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C")] = False,
) -> None:
    """Show the last lines of the components' logs."""
    instance = open_instance(Settings())
    files = log_files(instance) if instance else {}
    if component and component not in files:
        typer.echo(f"No logs of {component!r}; there are: {', '.join(files) or 'none'}", err=True)
        raise typer.Exit(1)
    chosen = [path for name, paths in files.items() if component in ("", name) for path in paths]
    for path in chosen:
        _print(path, tail(path, lines), heading=len(chosen) > 1)
    if following:
        _follow(chosen)


def log_files(instance: Instance) -> dict[str, list[Path]]:
    """Log files by component, those of the application (Serve's and each replica's own output) included."""
    names = ("supervisor", "postgres", "valkey", "ray")
    session = instance.ray_folder() / "session_latest" / "logs"
    application = [*session.glob("serve/*.log"), *session.glob("worker-*.err")]
    return {name: [instance.logs / f"{name}.log"] for name in names} | {
        "application": sorted(path for path in application if path.stat().st_size)
    }


def _print(path: Path, lines: list[str], heading: bool) -> None:
    if heading and lines:
        typer.echo(f"==> {path} <==")
    for line in lines:
        typer.echo(line)


def _follow(paths: list[Path]) -> None:
    try:
        for path, line in follow(paths):
            typer.echo(f"{path.stem}: {line}" if len(paths) > 1 else line)
    except KeyboardInterrupt:
        return
