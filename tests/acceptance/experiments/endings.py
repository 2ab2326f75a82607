"""Every way in which an experiment can end. What comes of each is the table of tests/acceptance/endings.py."""

import ctypes
import faulthandler
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

from athanor.experiment import RunContext, experiment
from pydantic import BaseModel


class Nothing(BaseModel):
    """No configuration."""


class Lines(BaseModel):
    lines: int = 1000


class Folder(BaseModel):
    folder: str


def last_words(text: str) -> None:
    """Straight to the file descriptor, as C code and dying processes write."""
    os.write(2, text.encode() + b"\n")


@experiment(name="returns")
def returns(ctx: RunContext[Nothing]) -> None:
    ctx.result("answer", 42)
    ctx.info("about to return")


@experiment(name="raises")
def raises(ctx: RunContext[Nothing]) -> None:
    ctx.info("about to raise")
    raise ValueError("this is wrong")


@experiment(name="calls_fail")
def calls_fail(ctx: RunContext[Nothing]) -> None:
    ctx.info("about to give up")
    ctx.fail("the data make no sense")


@experiment(name="completes_then_raises")
def completes_then_raises(ctx: RunContext[Nothing]) -> None:
    try:
        ctx.info("about to complete")
        ctx.complete()
    finally:
        raise RuntimeError("raised while leaving")


@experiment(name="exits")
def exits(ctx: RunContext[Nothing]) -> None:
    last_words("about to leave without a word")
    os._exit(3)


@experiment(name="segfaults")
def segfaults(ctx: RunContext[Nothing]) -> None:
    faulthandler.disable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    last_words("about to read address 0")
    ctypes.string_at(0)


@experiment(name="kills_itself")
def kills_itself(ctx: RunContext[Nothing]) -> None:
    ctx.info("about to be killed")
    os.kill(os.getpid(), signal.SIGKILL)


@experiment(name="ignores_sigterm", cancel_grace_period=timedelta(seconds=0.5))
def ignores_sigterm(ctx: RunContext[Nothing]) -> None:
    """Neither this process, nor a grandchild in a session of its own, ends when asked to."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # The shell ends at once: its child belongs to init, or to whoever collects orphans, and to another process group.
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        ["/bin/sh", "-c", f'setsid "{sys.executable}" -c "{stubborn}" & wait'], stdout=subprocess.PIPE
    ) as shell:
        assert shell.stdout is not None
        assert shell.stdout.readline() == b"here\n"
        ctx.info("deaf from here on")
        while True:
            time.sleep(1)


@experiment(name="runs_too_long", timeout=timedelta(seconds=1))
def runs_too_long(ctx: RunContext[Nothing]) -> None:
    ctx.info("one second is not enough")
    time.sleep(600)


@experiment(name="prints_a_lot")
def prints_a_lot(ctx: RunContext[Lines]) -> None:
    """Through C stdio, which Python's own capture does not see."""
    libc = ctypes.CDLL(None)
    for number in range(1, ctx.config.lines + 1):
        libc.printf(b"%07d %s\n", ctypes.c_int(number), b"x" * 91)  # 100 bytes a line
    libc.fflush(None)


@experiment(name="logs_from_threads")
def logs_from_threads(ctx: RunContext[Nothing]) -> None:
    def work(thread: int) -> None:
        for number in range(500):
            ctx.log("info", f"{thread}/{number}", {"thread": thread, "number": number})

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ctx.info("all threads are done")


@experiment(name="forks")
def forks(ctx: RunContext[Nothing]) -> None:
    """The child may compute, and may not record: two processes cannot number one log."""
    ctx.info("about to fork")
    pid = os.fork()
    if pid == 0:
        try:
            ctx.info("from the child")
        except Exception as error:
            last_words(f"the child was refused: {type(error).__name__}")
        os._exit(0)
    os.waitpid(pid, 0)
    ctx.result("parent", "goes on")


@experiment(name="imports_nothing_there")
def imports_nothing_there(ctx: RunContext[Nothing]) -> None:
    ctx.info("about to import")
    import there_is_no_such_module  # noqa: F401


@experiment(name="returns_when_cancelled")
def returns_when_cancelled(ctx: RunContext[Nothing]) -> None:
    ctx.info("waiting to be cancelled")
    while not ctx.cancelled:
        time.sleep(0.01)
    ctx.info("seen; leaving early")


@experiment(name="waits")
def waits(ctx: RunContext[Nothing]) -> None:
    ctx.info("waiting")
    for _ in ctx.track(range(60_000)):
        time.sleep(0.01)


@experiment(name="ends_when_told")
def ends_when_told(ctx: RunContext[Folder]) -> None:
    """Returns as soon as the file `go` is there, so that a test can cancel at that very moment."""
    ctx.info("ready")
    while not Path(ctx.config.folder, "go").exists():
        time.sleep(0.0005)
