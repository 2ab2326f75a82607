"""What is different where the client blocks; `_async/transport.py` has the same names for the client that awaits.

gRPC's own blocking calls do all of it: there is no event loop here. While they wait, Ctrl-C is noticed.
"""

import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar

import grpc

from athanor.client import _channel

if TYPE_CHECKING:
    Request = TypeVar("Request")
    Response = TypeVar("Response")
    Method: TypeAlias = grpc.UnaryUnaryMultiCallable[Request, Response]

Channel: TypeAlias = grpc.Channel

# What `read` returns at a regular end.
EOF: Final[Any] = object()

# What gRPC raises for a call on a channel that has been closed.
ClosedError = ValueError

# With this a caller who waits is told to stop.
Interrupt = KeyboardInterrupt


def interrupted() -> bool:
    """Whether a caller who waits is being told so by what is being handled."""
    return isinstance(sys.exception(), Interrupt)


sleep = time.sleep

# One that takes longer to answer is passed over; where it is the only one, gRPC's own patience counts.
_CONNECT = 1.0  # seconds


class Home:
    """Where channels were opened: they work in every thread."""

    def check(self) -> None:
        """Raise RuntimeError when this is somewhere else."""


class WatchCall(Protocol):
    """One stream of responses, of which a watch has several one after the other."""

    def read(self) -> Any:
        """Return the next response, or `EOF` at a regular end."""
        ...

    def cancel(self) -> bool:
        """Give the stream up."""
        ...

    def leave(self) -> None:
        """Go to another orchestrator the next time, if there is one."""
        ...


class Reader:
    """Reads one stream, and waits for each response only so long.

    A read of gRPC's takes no limit, but cancelling its stream from another thread ends it. A timer does that. There is
    one for many reads, because each is a thread: when it comes to its end it looks at the read under way, and goes on
    for as long as that one has left.
    """

    def __init__(self, call: WatchCall) -> None:
        self._call = call
        self._lock = threading.Lock()
        self._until: float | None = None  # when the read under way has taken too long; None: there is none
        self._timer: threading.Timer | None = None
        self._due = 0.0  # when that timer comes to its end
        self._expired = False

    def read(self, seconds: float) -> Any:
        """Return the next response, or `EOF`. Raises TimeoutError when none comes; the stream is of no use then."""
        with self._lock:
            self._until = time.monotonic() + seconds
            if self._timer is None or self._until < self._due:
                self._start_timer(seconds)
        try:
            response = self._call.read()
        except grpc.RpcError as error:
            if self._expired:
                raise TimeoutError from error
            raise
        finally:
            with self._lock:
                self._until = None
        return response

    def close(self, *, leave: bool = False) -> None:
        """Give the stream up; with `leave` its orchestrator too."""
        with self._lock:
            self._stop_timer()
        if leave:
            self._call.leave()
        self._call.cancel()

    def _start_timer(self, seconds: float) -> None:
        self._stop_timer()
        self._due = time.monotonic() + seconds
        # It keeps neither a watch alive that nobody holds any more, nor a program that is done.
        self._timer = timer = threading.Timer(seconds, _look, (weakref.ref(self),))
        timer.name = "athanor watch"
        timer.daemon = True
        timer.start()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self) -> None:
        """Cancel a read that has taken too long; wait on for one that has not. For the timer's own thread."""
        with self._lock:
            if threading.current_thread() is not self._timer:
                return  # it was stopped at this very moment
            self._timer = None
            if self._until is None:
                return
            left = self._until - time.monotonic()
            if left > 0:
                self._start_timer(left)
                return
            self._expired = True
        self._call.cancel()


def _look(reference: "weakref.ref[Reader]") -> None:
    reader = reference()
    if reader is not None:
        reader.look()


def open_channel(address: str) -> Channel:
    """Return a channel to one address; nothing is sent before the first call."""
    return grpc.insecure_channel(address, options=_channel.options(address))


def receive(call: Any) -> Any:
    """Return the next response of one of gRPC's calls, or `EOF`."""
    return next(call, EOF)


def connected(channel: Channel) -> bool:
    """Ask something for which nothing has to be known; False when no answer comes.

    A blocking channel does not say whether it is connected, unless a thread looks after it for ever.
    """
    ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/grpc.health.v1.Health/Check")
    try:
        ask(b"", timeout=_CONNECT)
    except grpc.RpcError as error:
        return error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    return True
