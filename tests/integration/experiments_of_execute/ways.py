"""What test_execute.py runs. Printing while it is imported is part of it."""

import asyncio
import atexit
import ctypes
import logging
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

from athanor.experiment import RunContext, experiment
from pydantic import BaseModel, Field

print("printed while it was imported")
os.write(2, b"and straight to the descriptor\n")


class Config(BaseModel):
    n: int = Field(3, ge=1)
    drawn: str = Field(default_factory=lambda: "drawn")


Any_ = RunContext[Any]


@experiment
def returns(ctx: RunContext[Config]) -> None:
    ctx.info("own")
    print("printed")
    logging.getLogger("library").warning("logged")
    warnings.warn("warned", stacklevel=1)
    os.write(1, b"by descriptor\n")
    subprocess.run(["echo", "by a subprocess"], check=True)
    print("an error", file=sys.stderr)
    ctx.progress(2, 5, "half way")
    ctx.result("config", ctx.configuration)
    ctx.result("about", [ctx.run.id, ctx.run.attempt, ctx.instance.name, ctx.seed, ctx.run.timeout_s, ctx.restored])
    print("no newline", end="")


@experiment
async def awaits(ctx: Any_) -> None:
    await asyncio.sleep(0)
    ctx.result("async", True)


@experiment
def completes(ctx: Any_) -> None:
    ctx.complete()


@experiment
def fails(ctx: Any_) -> None:
    ctx.fail("no good")


@experiment
def raises(ctx: Any_) -> None:
    raise ValueError("wrong")


@experiment
def completes_then_raises(ctx: Any_) -> None:
    try:
        ctx.complete()
    finally:
        raise RuntimeError("while leaving")


@experiment
def exits(ctx: Any_) -> None:
    sys.exit(4)


@experiment
def exits_hard(ctx: Any_) -> None:
    ctx.info("last")
    os.write(1, b"last words")
    os._exit(3)


@experiment
def kills_itself(ctx: Any_) -> None:
    ctx.info("last")
    os.kill(os.getpid(), signal.SIGKILL)


@experiment
def segfaults(ctx: Any_) -> None:
    ctx.info("last")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.string_at(0)


@experiment
def eats_memory(ctx: Any_) -> None:
    raise MemoryError


@experiment
def waits_for_cancel(ctx: Any_) -> None:
    ctx.info("waiting")
    for _ in ctx.track(range(100_000)):
        time.sleep(0.01)


@experiment
def returns_when_cancelled(ctx: Any_) -> None:
    ctx.info("waiting")
    while not ctx.cancelled:
        time.sleep(0.01)
    ctx.result("reason", ctx.cancel_reason)


@experiment
def forks(ctx: Any_) -> None:
    def child() -> None:
        print("from the child")
        try:
            ctx.info("recorded by the child")
        except RuntimeError as error:
            print(f"refused: {type(error).__name__}")

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    ctx.info("the parent goes on")


@experiment
def returns_from_a_forked_child(ctx: Any_) -> None:
    if os.fork() == 0:
        return
    os.wait()
    ctx.info("the parent goes on")


@experiment
def spawns(ctx: Any_) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        ctx.result("squares", pool.map(square, [1, 2, 3]))


def square(number: int) -> int:
    return number * number


@experiment
def records_after_the_end(ctx: Any_) -> None:
    def late() -> None:
        time.sleep(0.5)
        try:
            ctx.info("too late")
        except RuntimeError as error:
            print(f"refused: {error}", flush=True)

    atexit.register(late)
    threading.Thread(target=late).start()
    ctx.info("the end")


@experiment
def prints_much_by_descriptor(ctx: Any_) -> None:
    for number in range(100_000):
        os.write(1, b"%07d %s\n" % (number, b"x" * 91))


@experiment
def logs_much(ctx: Any_) -> None:
    for number in range(2_000):
        ctx.log("info", f"{number}", {"padding": "x" * 100})


@experiment
def says_where_it_is(ctx: Any_) -> None:
    ctx.result("path", sys.path)
    ctx.result("argv", sys.argv)
    ctx.result("env", {name: value for name, value in os.environ.items() if name.startswith("ATHANOR")})
    ctx.result("descriptors", sorted(int(path.name) for path in Path("/proc/self/fd").iterdir()))
    ctx.result("inherited", sorted(int(name) for name in subprocess.check_output(["ls", "/proc/self/fd"]).split()))
    ctx.result("modules", [name for name in ("grpc", "google.protobuf", "sqlalchemy") if name in sys.modules])


@experiment
def asks_for_restored(ctx: Any_) -> None:
    ctx.result("restored", ctx.restored)
    ctx.checkpoint({"step": 4})


@experiment
def takes_its_time(ctx: Any_) -> None:
    ctx.info("here")
    time.sleep(600)
