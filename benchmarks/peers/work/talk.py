"""What the programs of all peers share: what is recorded, when, and what is told to the measurement.

Runs in the environment of each peer: standard library alone. All times are seconds of the machine's monotonic clock,
which all its processes share.
"""

import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

POLL = 0.005  # seconds between two questions of a reader that has to ask, and wants to know when each came
SELDOM = 0.1  # the same where the last alone matters: a server that is asked has less time to take in
ERRORS_KEPT = 3


def task() -> tuple[str, dict[str, Any]]:
    """What this program was started for: a command, and what belongs to it, as JSON or in a file named @PATH."""
    command, wanted = sys.argv[1:]
    return command, json.loads(Path(wanted[1:]).read_text() if wanted.startswith("@") else wanted)


def say(**values: Any) -> None:
    """Tell the measurement something: one line of JSON on standard output."""
    print(json.dumps(values), flush=True)


def message(number: int) -> str:
    """60 characters, with the number of the record at the end."""
    return f"epoch finished, loss is {loss(number):.6f}, this is record {number:011d}"


def loss(number: int) -> float:
    """The second number of a record; the first is the record's own."""
    return 1 / (number + 1)


def number_in(line: str) -> int | None:
    """Which record a line is; None when it is none."""
    begin, found, end = line.rstrip().rpartition("this is record ")
    return int(end) if found and "epoch finished" in begin else None


def mark(path: str) -> None:
    """Note that user code has begun: when, and in which process. For the launch and the killed worker."""
    note = {"at": time.monotonic(), "pid": os.getpid()}
    Path(f"{path}.part").write_text(json.dumps(note))
    Path(f"{path}.part").rename(path)


def rest() -> NoReturn:
    """Be a run that goes on."""
    while True:
        time.sleep(0.2)


def write(wanted: dict[str, Any], record: Callable[[int], object], finish: Callable[[], object] | None = None) -> None:
    """Make the calls when told to, at the rate asked for, and leave a report of them in the file `out`.

    Args:
        wanted: `count`; `rate` a second, 0 for as fast as it goes; `seconds` after which no more are logged at a rate,
            0 for no end; `go`, the file whose appearance starts it; `out`.
        record: logs the record of a number.
        finish: what the documentation tells to call at the end.
    """
    calls = Calls(Path(wanted["out"]))
    # A measurement that has waited long enough asks for what there is.
    signal.signal(signal.SIGTERM, lambda *_: calls.leave())
    while not os.path.exists(wanted["go"]):
        time.sleep(0.002)
    calls.begin = time.monotonic()
    if wanted["rate"]:
        calls.make_slowly(wanted["count"], 1 / wanted["rate"], wanted["seconds"] or math.inf, record)
    else:
        for number in range(wanted["count"]):
            record(number)
    calls.returned = time.monotonic()
    if finish is not None:
        calls.make(finish)
    calls.finished = True
    calls.report()


class Calls:
    """What became of the calls of a writer."""

    def __init__(self, out: Path) -> None:
        self.begin = 0.0
        self.returned = 0.0
        self.times: dict[int, float] = {}  # by number: when the call was made
        self.logged = 0  # calls that returned
        self.raised: list[str] = []
        self.raised_count = 0
        self.longest = 0.0
        self.finished = False
        self._out = out

    def make_slowly(self, count: int, interval: float, seconds: float, record: Callable[[int], object]) -> None:
        """Call at a rate, each call timed; one that raises is counted, and the next is made, until the time is over."""
        for number in range(count):
            if time.monotonic() - self.begin > seconds:
                return
            wait = self.begin + number * interval - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            self.times[number] = time.monotonic()
            if self.make(lambda number=number: record(number)):
                self.logged += 1

    def make(self, call: Callable[[], object]) -> bool:
        """Whether the call returned."""
        start = time.monotonic()
        try:
            call()
        except Exception as error:  # noqa: BLE001 - what a peer raises is what is asked for
            self.raised_count += 1
            if len(self.raised) < ERRORS_KEPT:
                self.raised.append(f"{type(error).__name__}: {error}"[:300])
            return False
        finally:
            self.longest = max(self.longest, time.monotonic() - start)
        return True

    def report(self) -> None:
        """Write it down, whole or not at all."""
        values = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        part = self._out.with_suffix(".part")
        part.write_text(json.dumps(values))
        part.rename(self._out)

    def leave(self) -> NoReturn:
        """Report and be gone, whatever threads there are."""
        self.report()
        os._exit(0)


def until_all_are_there(count: int, last: Callable[[], int], total: Callable[[], int]) -> None:
    """Say when the last record could be read, with all before it.

    Args:
        count: how many there will be.
        last: reads the newest record's number, -1 when there is none: asked again and again.
        total: reads all of them and counts; asked when the last is there, and not part of the time.
    """
    say(ready=True)
    while True:
        if last() >= count - 1:
            seen = time.monotonic()
            if total() >= count:
                say(seen=seen)
                return
        time.sleep(SELDOM)


def follow_by_asking(count: int, last: Callable[[], int]) -> None:
    """Say when each record could be read first, by asking for the newest."""
    seen: dict[int, float] = {}
    say(ready=True)
    while len(seen) < count:
        newest = last()
        now = time.monotonic()
        for number in range(len(seen), newest + 1):
            seen[number] = now
        time.sleep(POLL)
    say(times=seen)


class Arrivals:
    """Collects records as they arrive in a stream; says at the end when each did."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._times: dict[int, float] = {}

    def add(self, number: int | None) -> bool:
        """Whether that was the last one."""
        if number is not None:
            self._times.setdefault(number, time.monotonic())
        return len(self._times) >= self._count

    def tell(self, *, each: bool) -> None:
        """The time of each, or of the last alone."""
        say(**({"times": self._times} if each else {"seen": max(self._times.values())}))


def watch_state(state: Callable[[], str], ended: Callable[[str], bool], seconds: float) -> None:
    """Say each state and when it was first seen, until it is an end or the time is over."""
    before = None
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            now = state()
        except Exception as error:  # noqa: BLE001 - a server that does not answer is one of the answers
            now = f"no answer ({type(error).__name__})"
        if now != before:
            say(state=now, at=time.monotonic())
            before = now
        if ended(now):
            return
        time.sleep(0.2)
