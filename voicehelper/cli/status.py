"""`voicehelper status`: every engine, deployment and model: state, version, memory, port."""

import asyncio
import json
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from voicehelper.config import Settings
from voicehelper.embedded.status import Report, Row, report

_COLOURS = {"ready": "green", "healthy": "green", "running": "green", "present": "green", "backoff": "red"}
_WIDTH = 150  # narrower, columns would be cut; the terminal wraps better


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


def status(as_json: Annotated[bool, typer.Option("--json", help="For programs")] = False) -> None:
    """Show every engine, deployment, replica and model. Exit status 3 when the instance does not run."""
    found = asyncio.run(report(Settings()))
    if as_json:
        typer.echo(json.dumps(found.as_dict(), ensure_ascii=False, indent=2))
    else:
        console = Console()
        _show(found, console if console.width >= _WIDTH else Console(width=_WIDTH))
    if not found.running:
        raise typer.Exit(3)


def _show(found: Report, console: Console) -> None:
    if found.running:
        console.print(f"home {found.home}   API {found.http_url}   dashboard {found.dashboard_url}", highlight=False)
    else:
        console.print(f"Not running (home {found.home}). Start it with `voicehelper up`.", highlight=False)
    table = Table(box=None)
    for heading in ("", "name", "state", "version", "port", "pid", "memory", "restarts", ""):
        table.add_column(heading, no_wrap=True)
    for row in found.rows:
        table.add_row(*_cells(row))
    console.print(table)


def _cells(row: Row) -> tuple[str, ...]:
    colour = _COLOURS.get(row.state, "yellow")
    return (
        row.kind,
        f"  {row.name}" if row.kind == "replica" else row.name,
        f"[{colour}]{row.state}[/]",
        row.version,
        str(row.port or ""),
        str(row.pid or ""),
        decimal(row.memory) if row.memory else "",
        str(row.restarts or ""),
        row.detail.replace("[", "\\["),
    )
