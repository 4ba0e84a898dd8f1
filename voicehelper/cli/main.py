"""The `voicehelper` command."""

import importlib
import importlib.util

import typer

_COMMANDS = (
    "up",
    "down",
    "status",
    "logs",
    "ask",
    "index",
    "models",
    "catalogue",
    "keys",
    "events",
    "budgets",
    "supervise",
    "environment",
)

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="VoiceHelper: grounded, cited answers. 知识库问答助手。"
)

for _name in _COMMANDS:
    if importlib.util.find_spec(f"voicehelper.cli.{_name}") is not None:
        importlib.import_module(f"voicehelper.cli.{_name}").register(app)

if __name__ == "__main__":
    app()
