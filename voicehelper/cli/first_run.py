"""What `voicehelper up` shows at the first start: the sample knowledge base, and a question answered from it."""

import importlib.util
import mimetypes
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID

from voicehelper.cli.ask import show
from voicehelper.cli.client import ApiClient
from voicehelper.cli.sse import ServerEvent
from voicehelper.cli.steps import Steps
from voicehelper.config import Settings
from voicehelper.embedded.instance import Instance
from voicehelper.embedded.process import EngineError
from voicehelper.identity.admin import read_credentials
from voicehelper.wire.conversations import MessageView

SAMPLE = "sample"
QUESTION = "退款多久到账？"
_PATIENCE_S = 900.0


def show_sample(settings: Settings, instance: Instance, steps: Steps) -> None:
    """Index the sample knowledge base and ask it one question, once in the life of this instance.

    Raises:
        EngineError: indexing does not come to an end, or the answer failed.
        ClientError: the API refused or went away.
    """
    marker, folder = instance.home / "sample.done", sample_folder()
    if marker.exists() or folder is None:
        return
    with ApiClient.from_settings(settings, base_url=instance.http_url) as client:
        base = client.ensure_base(SAMPLE, "A small online shop's policies, manuals and FAQ")
        _index(client, base.id, folder, steps)
        _ask(client, steps)
    marker.touch()


def say_what_next(settings: Settings, instance: Instance, steps: Steps) -> None:
    """URLs, the login, what to try."""
    admin = read_credentials(settings.home / "keys" / "admin.json")
    login = f"{admin.email}  {admin.password}" if admin else "an account made earlier; its password is not stored here"
    for line in (
        "",
        f"Page: ask, talk, upload    {instance.http_url}/playground",
        f"API and its documentation  {instance.http_url}/docs",
        f"Ray dashboard              {instance.dashboard_url}   (token: {instance.ray_token_file})",
        f"Administrator              {login}",
        f"Data                       {instance.home}",
        "",
        'Try   voicehelper ask "可以开发票吗？"       voicehelper index FOLDER --kb NAME',
        "      voicehelper status                    voicehelper logs -f",
        "      voicehelper down                      (stops everything, keeps the data)",
    ):
        steps.say(line)


def sample_folder() -> Path | None:
    """`examples/knowledge` beside the packages; None where the source tree is not installed with them."""
    spec = importlib.util.find_spec("voicehelper")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent.parent / "examples" / "knowledge"
    return folder if folder.is_dir() and any(folder.iterdir()) else None


def _index(client: ApiClient, base: UUID, folder: Path, steps: Steps) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    with steps.step(f"Sample knowledge base: {len(files)} documents") as notes:
        for path in files:
            with path.open("rb") as file:
                client.upload(base, str(path.relative_to(folder)), file, mimetypes.guess_type(path)[0] or "")
        states = _wait_until_indexed(client, base, steps)
        notes.append(", ".join(f"{count} {state}" for state, count in sorted(states.items())))


def _wait_until_indexed(client: ApiClient, base: UUID, steps: Steps) -> Counter[str]:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        states = Counter(document.status for document in client.documents(base))
        waiting = states["pending"] + states["processing"]
        if not waiting:
            return Counter({str(state): count for state, count in states.items()})
        if time.monotonic() > deadline:
            raise EngineError(f"{waiting} sample documents are still not indexed; see `voicehelper logs`")
        steps.waiting(f"indexing the sample knowledge base, {waiting} of {states.total()} documents to go")
        time.sleep(0.5)


def _ask(client: ApiClient, steps: Steps) -> None:
    steps.say(f"\n> {QUESTION}\n")
    begun = time.monotonic()
    conversation = client.create_conversation([SAMPLE])
    ended: list[MessageView] = []
    with closing(client.stream(conversation.id, QUESTION)) as events:
        failure = show(_noting(events, ended))
    if failure is not None:
        raise EngineError(f"The first question was not answered: {failure.message} (trace {failure.trace_id})")
    if not ended or not ended[0].citations or "answer" in ended[0].metadata.get("degraded", ()):
        raise EngineError("The first answer is incomplete: a busy machine? All runs; try `voicehelper ask`")
    steps.say("")
    steps.done("First question answered", time.monotonic() - begun)


def _noting(events: Iterable[ServerEvent], ended: list[MessageView]) -> Iterator[ServerEvent]:
    """`events` as they are; the finished message is kept in `ended`."""
    for event in events:
        if event.name == "message.completed":
            ended.append(MessageView.model_validate(event.data["message"]))
        yield event
