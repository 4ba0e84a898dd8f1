"""`voicehelper models list | pull | verify`."""

from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Column, Table

from voicehelper.cli.model_progress import ModelProgress
from voicehelper.config import Settings
from voicehelper.embedded.models import ModelEntry, ModelStore, default_models, ensure_models, open_store
from voicehelper.errors import VoiceHelperError

_COLUMNS = ("", "model", "role", "state", "size", "licence")
Names = Annotated[list[str] | None, typer.Argument(help="Names from `voicehelper models list`")]


def register(app: typer.Typer) -> None:
    """Add the `models` group to the command line."""
    models = typer.Typer(help="The model files of this machine.", no_args_is_help=True)
    models.command("list")(list_models)
    models.command("pull")(pull)
    models.command("verify")(verify)
    app.add_typer(models, name="models")


def list_models() -> None:
    """Show every model: whether it is here, its size and licence, and where. * marks those this configuration uses."""
    settings = Settings()
    store, wanted = open_store(settings), default_models(settings)
    table = Table(*(Column(name, no_wrap=True) for name in _COLUMNS), box=None)
    for entry in store.manifest.models:
        marks = "*" if entry.name in wanted else ""
        size = decimal(store.manifest.size_of(entry))
        table.add_row(marks, entry.name, entry.role, _state(store, entry), size, entry.licence)
    console = Console(soft_wrap=True)
    console.print(table)
    console.print(f"\nEach is in {store.root}/models/<model>", highlight=False, markup=False)


def pull(
    names: Names = None,
    everything: Annotated[bool, typer.Option("--all", help="Every model of the manifest")] = False,
) -> None:
    """Fetch models that are missing: those this configuration uses, or the named ones. Can be run again at any time."""
    settings = Settings()
    wanted = [entry.name for entry in open_store(settings).manifest.models] if everything else names
    console = Console(soft_wrap=True)
    try:
        with ModelProgress(console) as progress:
            paths = ensure_models(settings, wanted or None, progress)
    except VoiceHelperError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("stopped; what is finished stays, run it again to go on")
    for name, path in paths.items():
        console.print(f"{name}  {path}", highlight=False)


def verify(
    names: Names = None,
    remove: Annotated[bool, typer.Option("--remove-damaged", help="Delete it, for a pull to fetch anew")] = False,
) -> None:
    """Re-hash the models that are here, or the named ones. Exit status 1 when one is damaged, or named and missing."""
    store = open_store(Settings())
    try:
        chosen = [store.manifest.get(name) for name in names or []]
    except VoiceHelperError as error:
        _fail(str(error))
    damaged = 0
    for entry in chosen or [entry for entry in store.manifest.models if store.present(entry)]:
        faults = store.verify(entry)
        typer.echo(f"{entry.name}: {'; '.join(faults) or 'ok'}")
        damaged += bool(faults)
        if faults and remove:
            store.remove(entry)
    if damaged:
        _fail(f"{damaged} not sound; `--remove-damaged` deletes them, `pull` fetches what is missing")


def _state(store: ModelStore, entry: ModelEntry) -> str:
    if store.present(entry):
        return "here"
    partial = store.partial(entry)
    return "unfinished" if partial.exists() or partial.with_name(f"{partial.name}.parts").exists() else "missing"


def _fail(message: str) -> None:
    typer.echo(f"voicehelper models: {message}", err=True)
    raise typer.Exit(1)
