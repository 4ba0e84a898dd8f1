"""The one handle adapter: any port, implemented by a Serve deployment elsewhere. Its caller cannot tell.

`remote(Embedder, handle, ...)` returns an `Embedder`. Coroutine methods of the port become unary calls, methods that
return an async iterator become streams. The adapter carries the request's context across, waits no longer than its
deadline, passes cancellation on (of the task, or by closing the generator), and turns what Serve and Ray raise into
our errors. `deployments.replica` is the other side.
"""

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any, TypeVar, cast, get_origin, get_type_hints

from ray.exceptions import NodeDiedError, ObjectLostError, RayActorError, RayTaskError, WorkerCrashedError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError
from ray.serve.handle import DeploymentHandle

from deployments.frames import Call, Failed
from voicehelper.context import current_context
from voicehelper.errors import DeadlineExceeded, Overloaded, Unavailable
from voicehelper.telemetry import get_logger, inject

T = TypeVar("T")
Handle = DeploymentHandle[Any]
Response = Any  # Serve types neither awaiting nor cancelling a response

_GONE = (
    RayActorError,
    WorkerCrashedError,
    NodeDiedError,
    ObjectLostError,
    DeploymentUnavailableError,
    ReplicaUnavailableError,
)
_STREAMS = (AsyncIterator, AsyncGenerator)
_log = get_logger(__name__)


def remote(
    port: type[T],
    handle: Handle,
    *,
    unavailable: type[Unavailable] = Unavailable,
    constant: frozenset[str] = frozenset(),
    frame: Callable[..., Call] = Call,
) -> T:
    """An object implementing `port` by calls to the deployment behind `handle`.

    Args:
        frame: makes the call that crosses, of a method's name, its arguments and named arguments.
        unavailable: what is raised when the deployment or its replica is gone.
        constant: methods without arguments whose answer never changes; asked once, then remembered.

    Raises `TypeError` when a method of the port is neither a coroutine nor returns an async iterator.
    """
    methods = {name: _method(name, kind) for name, kind in port_methods(port).items()}
    adapter = type(f"Remote{port.__name__}", (_Remote,), methods)
    return cast(T, adapter(handle, unavailable, constant, frame))


def port_methods(port: type) -> dict[str, str]:
    """Public methods of a Protocol class, each `unary` or `stream`."""
    functions = inspect.getmembers(port, inspect.isfunction)
    return {name: _kind(function) for name, function in functions if not name.startswith("_")}


def _kind(function: Callable[..., Any]) -> str:
    if inspect.iscoroutinefunction(function):
        return "unary"
    if get_origin(get_type_hints(function).get("return")) in _STREAMS:
        return "stream"
    raise TypeError(f"{function.__qualname__} can be neither awaited nor iterated: it cannot cross processes")


def _method(name: str, kind: str) -> Callable[..., Any]:
    def unary(self: "_Remote", *args: Any, **kwargs: Any) -> Any:
        return self.call_once(name) if name in self.constant else self.call(self.frame(name, args, kwargs))

    def stream(self: "_Remote", *args: Any, **kwargs: Any) -> Any:
        return self.iterate(self.frame(name, args, kwargs))

    return unary if kind == "unary" else stream


class _Remote:
    """Calls one deployment. Every port method is read-only, so a unary call whose replica died is made once more."""

    def __init__(
        self, handle: Handle, unavailable: type[Unavailable], constant: frozenset[str], frame: Callable[..., Call]
    ) -> None:
        self.constant = constant
        self.frame = frame
        self._name = handle.deployment_name
        self._unary: Handle = handle.options(method_name="unary")
        self._stream: Handle = handle.options(method_name="stream", stream=True)
        self._unavailable = unavailable
        self._remembered: dict[str, Any] = {}

    async def call_once(self, method: str) -> Any:
        if method not in self._remembered:
            self._remembered[method] = await self.call(self.frame(method))
        return self._remembered[method]

    async def call(self, call: Call) -> Any:
        call = _in_context(call)
        try:
            return await self._attempt(call)
        except _ReplicaGone:
            _log.warning("hop.retried", node=self._name, method=call.method)
        with self._gone_is_unavailable():
            return await self._attempt(call)

    async def _attempt(self, call: Call) -> Any:
        response: Response = self._unary.remote(call)
        with self._translated(response):
            async with _deadline(call):
                result = await response
        return _value(result)

    async def iterate(self, call: Call) -> AsyncGenerator[Any, None]:
        call = _in_context(call)
        response: Response = self._stream.remote(call)
        try:
            while True:
                with self._gone_is_unavailable(), self._translated(response):
                    async with _deadline(call):
                        item = await anext(response, _END)
                if item is _END:
                    return
                yield _value(item)
        except GeneratorExit:
            response.cancel()
            raise

    @contextmanager
    def _gone_is_unavailable(self) -> Iterator[None]:
        try:
            yield
        except _ReplicaGone as gone:
            raise self._unavailable(details={"node": self._name}, retry_after=5.0) from gone.__cause__

    @contextmanager
    def _translated(self, response: Response) -> Iterator[None]:
        """Ray's errors become ours; an interrupted wait cancels the call it waited for."""
        try:
            yield
        except DeadlineExceeded:
            response.cancel()
            raise
        except asyncio.CancelledError as cancelled:
            response.cancel()
            if _cancelled_here():
                raise
            raise _ReplicaGone from cancelled  # the replica dropped the call, nobody cancelled this task
        except BackPressureError as error:
            raise Overloaded(details={"node": self._name}, retry_after=error.retry_after_s or 1.0) from None
        except _GONE as error:
            raise _ReplicaGone from error
        except RayTaskError as error:
            raise error.cause from error


class _ReplicaGone(Exception):
    """The call may or may not have run: its replica is no longer there to say."""


class _End:
    pass


_END = _End()


@asynccontextmanager
async def _deadline(call: Call) -> AsyncIterator[None]:
    """Raises `DeadlineExceeded` when the call's request runs out of time."""
    timeout = asyncio.timeout(call.context.remaining())
    try:
        async with timeout:
            yield
    except TimeoutError:
        if timeout.expired():
            raise DeadlineExceeded(details={"method": call.method}) from None
        raise


def _in_context(call: Call) -> Call:
    return replace(call, context=replace(current_context(), carrier=inject()))


def _value(result: Any) -> Any:
    if isinstance(result, Failed):
        raise result.error
    return result


def _cancelled_here() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
