"""What a run's process finds around it; the same whether it was forked from a template or started by itself."""

import os
import random
import resource
import signal
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from athanor.experiment import RunContext, experiment
from pydantic import BaseModel, field_validator


class Config(BaseModel):
    n: int = 3

    @field_validator("n")
    @classmethod
    def not_negative(cls, n: int) -> int:
        assert n >= 0
        return n


@experiment
def surroundings(ctx: RunContext[Config]) -> None:
    status = Path("/proc/self/status").read_text().splitlines()
    main = sys.modules["__main__"]
    found: dict[str, Any] = {
        "signals": [line.split() for line in status if line.startswith(("SigBlk", "SigIgn", "SigCgt"))],
        "threads": [len(os.listdir("/proc/self/task")), threading.active_count()],
        "main thread": threading.current_thread() is threading.main_thread(),
        "argv": sys.argv,
        "original argv": sys.orig_argv,
        "command line": Path("/proc/self/cmdline").read_bytes().decode().split("\0"),
        "path": sys.path,
        "flags": list(sys.flags),
        "main": [main.__name__, main.__spec__ and main.__spec__.name, main.__file__],
        "environment": sorted(os.environ.items()),
        "shown marker": [entry for entry in shown_environment() if entry.startswith("ATHANOR_LEASE_ID")],
        "folder": os.getcwd(),
        "umask": os.umask(0o022),
        "session": [os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()],
        "parent": os.getppid(),
        "stdin": os.read(0, 10).decode(),
        "open": sorted(os.readlink(f"/proc/self/fd/{number}")[:5] for number in range(3)),
        "limits": [resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_CORE)],
        "nice": os.nice(0),
        "handlers": [str(signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGPIPE)],
        "streams": [
            str((s.encoding, s.errors, s.line_buffering, s.seekable())) for s in (sys.__stdout__, sys.__stderr__)
        ],
        "own time": time.process_time() < 5,
    }
    for name, value in found.items():
        ctx.result(name, value)


@experiment
def chance(ctx: RunContext[Any]) -> None:
    import numpy

    drawn = {
        "random": random.random(),
        "numpy": float(numpy.random.default_rng().random()),
        "uuid1": str(uuid.uuid1()),
        "uuid4": str(uuid.uuid4()),
        "temporary": next(tempfile._get_candidate_names()),
        "urandom": os.urandom(8).hex(),
    }
    for name, value in drawn.items():
        ctx.result(name, value)
    ctx.result("hash", hash("a text"))


@experiment
def modules(ctx: RunContext[Any]) -> None:
    ctx.result("modules", sorted(sys.modules))


@experiment
def leaves_a_forked_child(ctx: RunContext[Any]) -> None:
    """Forked twice, in a session of its own, and never a program of its own."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)
    os.wait()
    ctx.info("left one")


@experiment
def waits(ctx: RunContext[Any]) -> None:
    ctx.info("waiting")
    while not ctx.cancelled:
        time.sleep(0.005)


def shown_environment() -> list[str]:
    return Path("/proc/self/environ").read_bytes().decode().split("\0")
