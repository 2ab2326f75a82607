"""Leaves to the end of the interpreter what it can."""

import atexit
import ctypes
import logging
import logging.handlers
import os
import sys
import threading
import time
import weakref
from typing import Any

from athanor.experiment import RunContext, experiment


class Last:
    """Says when it is taken apart."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __del__(self) -> None:
        os.write(1, f"{self.name} taken apart\n".encode())


class Circle(Last):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.itself = self


class Straight(logging.Handler):
    """Writes past everything that is buffered."""

    def emit(self, record: logging.LogRecord) -> None:
        os.write(1, f"{record.getMessage()}\n".encode())


kept_by_the_module = Last("global")
kept_by_itself = Circle("circle")
unfinished = open(1, "w", closefd=False)  # noqa: SIM115 - nobody closes it
sys.modules["made_up"] = made_up = type(sys)("made_up")
made_up.kept = Last("made up")  # pyright: ignore[reportAttributeAccessIssue]


@experiment
def leaves_much_to_the_end(ctx: RunContext[Any]) -> None:
    ctypes.CDLL(None).printf(b"buffered by C\n")
    unfinished.write("buffered by a file\n")
    atexit.register(os.write, 1, b"called at the end\n")
    weakref.finalize(kept_by_the_module, os.write, 1, b"finalized\n")
    held_back = logging.getLogger("held back")
    held_back.propagate = False
    held_back.addHandler(logging.handlers.MemoryHandler(100, target=Straight()))
    held_back.warning("held back by a handler")

    def thread() -> None:
        time.sleep(0.2)
        os.write(1, b"a thread ends\n")

    threading.Thread(target=thread).start()
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()


@experiment
def leaves_and_raises(ctx: RunContext[Any]) -> None:
    leaves_much_to_the_end(ctx)
    raise ValueError
