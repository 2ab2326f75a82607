"""Where the orchestrator is, and the options of the connection to it."""

import os
import re
from typing import Any

from athanor.client.errors import TargetError

DEFAULT_TARGET = "127.0.0.1:7400"
TARGET_VARIABLE = "ATHANOR_TARGET"

# gRPC's handlers around fork() have killed processes that were started beside it; this client never forks. Read by gRPC
# when it is imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

_DEFAULT_PORT = 7400
_MESSAGE_BYTES = 4 * 1024 * 1024  # of one message; the protocol keeps below it
_LOOPBACK = re.compile(r"^(localhost|127\.[\d.]+|\[::1\]):\d+$")
_HOST_PORT = re.compile(r"^(?P<host>[^\s:/\[\]]+|\[[0-9a-fA-F:.%\w]+\])(?P<port>:\d{1,5})?$")

_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_receive_message_length", _MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MESSAGE_BYTES),
    # A peer that was stopped, or cut off without a word, is noticed within about 15 s. Keepalive alone took 70 s.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    # A caller who does not read holds one window, not megabytes.
    ("grpc.http2.bdp_probe", 0),
    # Come back soon after a restart of the orchestrator: by itself gRPC waits up to two minutes between tries.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.min_reconnect_backoff_ms", 5_000),  # despite its name: how long one try to connect may take
    # Clients of one process must not share a connection behind our back: closing one would surprise another.
    ("grpc.use_local_subchannel_pool", 1),
)


def resolve_target(target: str | None) -> str:
    """Return the address to call: `target`, else that of ATHANOR_TARGET, else 127.0.0.1:7400.

    Several addresses are separated by commas; one that is there twice counts once. A missing port is 7400; `unix:`
    addresses pass as they are. Raises TargetError when one is neither.
    """
    if target is not None and not isinstance(target, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"the target is a text, for example {DEFAULT_TARGET!r}, not {target!r}")
    given = (target or os.environ.get(TARGET_VARIABLE) or DEFAULT_TARGET).strip()
    return ",".join(dict.fromkeys(_address(part.strip(), given) for part in given.split(",")))


def _address(part: str, given: str) -> str:
    if part.startswith(("unix:", "unix-abstract:")):
        return part
    match = _HOST_PORT.match(part)
    if not match or (match["port"] and not 0 < int(match["port"][1:]) < 65536):
        raise TargetError(
            f"the target must be HOST:PORT, for example {DEFAULT_TARGET}, or several of them separated by commas; "
            f"it is {given!r}"
        )
    return part if match["port"] else f"{part}:{_DEFAULT_PORT}"


def options(address: str) -> list[tuple[str, Any]]:
    """Return the options of a channel to one address."""
    if _LOOPBACK.match(address):
        return [*_OPTIONS, ("grpc.enable_http_proxy", 0)]  # a proxy never leads back to this machine
    return list(_OPTIONS)


_used_in: int | None = None  # the process in which gRPC was first put to use


def check_process() -> None:
    """Raise RuntimeError in a child forked from a process that has used gRPC: calls would hang there, for ever."""
    global _used_in
    if _used_in is None:
        _used_in = os.getpid()
    elif _used_in != os.getpid():
        raise RuntimeError(
            "gRPC does not work in a forked child of a process that has used it: start this one otherwise, "
            "for example with multiprocessing.get_context('spawn')"
        )


def advice(target: str) -> str:
    """Return what a person can do when nobody answers at `target`."""
    if "," in target:
        return (
            "Check that one of them runs and that this machine reaches it, "
            f'or name others: athanor.connect("HOST:PORT,HOST:PORT"), or {TARGET_VARIABLE}=HOST:PORT,HOST:PORT.'
        )
    if _LOOPBACK.match(target) or target.startswith("unix"):
        return (
            "Start one on this machine with `athanor up`, "
            f'or name another: athanor.connect("HOST:PORT"), or {TARGET_VARIABLE}=HOST:PORT.'
        )
    return (
        f"Check that it runs there and that this machine reaches {target}, "
        f'or name another: athanor.connect("HOST:PORT"), or {TARGET_VARIABLE}=HOST:PORT.'
    )
