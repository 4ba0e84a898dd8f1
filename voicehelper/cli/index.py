"""`voicehelper index DIR --kb NAME`: every file of a folder to the running server, until all are searchable or failed.

Safe to interrupt and to run again: what the server has with the same content is not sent again.
"""

import json
import time
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from voicehelper.cli.client import ApiClient, ClientError
from voicehelper.cli.indexing import FolderUpload, Result, list_files
from voicehelper.config import Settings

_INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    """Add `index` to the command line."""
    app.command()(index)


def index(  # noqa: PLR0917 - typer's shape: one argument per option
    folder: Annotated[Path, typer.Argument(help="Folder with documents", exists=True, file_okay=False)],
    kb: Annotated[str, typer.Option("--kb", help="Name of the knowledge base; created if it is not there")],
    wait: Annotated[bool, typer.Option(help="Wait until everything is indexed")] = True,
    report: Annotated[
        Path | None, typer.Option(help="Write what became of the files to this file, as JSON", dir_okay=False)
    ] = None,
    uploads: Annotated[int, typer.Option(min=1, max=32, help="Uploads at the same time")] = 4,
    email: Annotated[
        str | None, typer.Option(envvar="VOICEHELPER_EMAIL", help="Account; default: the first admin")
    ] = None,
    password: Annotated[str | None, typer.Option(envvar="VOICEHELPER_PASSWORD")] = None,
    url: Annotated[str | None, typer.Option(envvar="VOICEHELPER_URL", help="Server; default: this machine's")] = None,
) -> None:
    """Index a folder of documents. 导入文件夹。

    Exit status: 0 when every file is indexed (with --no-wait: accepted), 1 when some failed or did not finish, 130 when
    interrupted.
    """
    if report is not None and not report.parent.is_dir():
        _fail(f"There is no folder {report.parent}")
    console, started = Console(), time.monotonic()
    try:
        with ApiClient.from_settings(Settings(), email, password, url) as client:
            result = _run(client, folder, kb, uploads, wait, console)
    except ClientError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        console.print("Interrupted: what was sent goes on being indexed; run the same command again for the rest.")
        raise typer.Exit(_INTERRUPTED) from None
    _show(console, result, kb)
    if report is not None:
        content = _content(result, kb, time.monotonic() - started)
        report.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n")
    if result.failures or (wait and result.unfinished):
        raise typer.Exit(1)


def _run(client: ApiClient, folder: Path, kb: str, uploads: int, wait: bool, console: Console) -> Result:  # noqa: PLR0917
    files = list_files(folder)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        uploaded = progress.add_task("uploaded", total=len(files))
        indexed = progress.add_task("indexed ", total=len(files), visible=wait)

        def show(result: Result) -> None:
            progress.update(uploaded, completed=result.answered)
            progress.update(indexed, completed=result.ended)

        return FolderUpload(client, client.ensure_base(kb).id, show).run(folder, files, uploads, wait)


def _show(console: Console, result: Result, kb: str) -> None:
    console.print(
        f"{kb}: {len(result.indexed)} indexed, {len(result.unchanged)} unchanged, {len(result.failures)} failed"
        + (f", {len(result.unfinished)} being indexed" if result.unfinished else "")
    )
    if result.failures:
        table = Table("file", "reason", "what happened")
        for name, (reason, error) in sorted(result.failures.items()):
            table.add_row(name, reason, error)
        console.print(table)


def _content(result: Result, kb: str, seconds: float) -> dict[str, Any]:
    """The report: the fields that `pipelines.index_documents --report` writes too."""
    return {
        "kb": kb,
        "documents": {
            "total": result.answered,
            "indexed": len(result.indexed),
            "unchanged": len(result.unchanged),
            "failed": len(result.failures),
            "unfinished": len(result.unfinished),
        },
        "seconds": round(seconds, 3),
        "failures": [
            {"name": name, "reason": reason, "error": error}
            for name, (reason, error) in sorted(result.failures.items())
        ],
        "unfinished": sorted(result.unfinished),
    }


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(1)
