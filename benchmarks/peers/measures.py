"""The same six measurements for every peer."""

import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import number, percentile
from benchmarks.peers import findings
from benchmarks.peers.findings import Finding
from benchmarks.peers.peer import Peer, Server, Way
from benchmarks.peers.processes import Program, proportional_set_size

LATENCY_RECORDS, LATENCY_RATE = 300, 50  # records, and a second
CRASH_RATE, CRASH_SECONDS = 100, 8.0  # records a second, and how long; a client that is slower logs fewer
KILL_AFTER, AWAY = 3.0, 2.0  # seconds into the logging, and until the server is started again
CRASH_WAIT = 60.0  # seconds for the client to come to an end
IDLE = 15.0  # seconds until the memory is read: the helpers of some servers take 10 s to start
INGEST_WAIT = 120.0


@dataclass(frozen=True)
class Bench:
    """How much, and with what."""

    python: Path  # the peer's interpreter
    rounds: int = 3
    quick: bool = False
    way: str | None = None  # one way alone

    def size(self, normal: int) -> int:
        """How many, at this scale."""
        return max(normal // 10, 2) if self.quick else normal

    @property
    def notice_within(self) -> float:
        """Seconds to wait for a killed worker to be noticed."""
        return 20.0 if self.quick else 60.0

    def wants(self, name: str) -> bool:
        """Whether this way is to be measured."""
        return self.way in (None, name)


def ingest(peer: Peer, bench: Bench) -> Iterator[Finding]:
    """Records a second from the first call until another process has read the last, all being there."""
    for way in peer.ingest:
        if bench.wants(way.name):
            with served(peer, bench, way) as server:
                rates = [_ingest(server, way, bench.size(way.count)) for _ in range(bench.rounds)]
            text = f"{way.label}: {number(statistics.median(rates))}"
            yield Finding(peer.name, "ingest", way.name, text, tuple(rates))


def _ingest(server: Server, way: Way, count: int) -> float:
    with writing(server, way, count, 0) as (run, go, out, _):
        with server.call("read", run=run, count=count, way=way.follow) as reader:
            reader.hear("ready", 60)
            go.touch()
            seen = reader.hear("seen", INGEST_WAIT)["seen"]
        return count / (seen - report(out, 60)["begin"])


def latency(peer: Peer, bench: Bench) -> Iterator[Finding]:
    """Milliseconds from the call until another process has the record, for a moderate stream of them."""
    for way in peer.latency:
        if bench.wants(way.name):
            count = bench.size(way.count or LATENCY_RECORDS)
            with (
                served(peer, bench, way) as server,
                writing(server, way, count, LATENCY_RATE) as (run, go, out, _),
                server.call("follow", run=run, count=count, way=way.follow) as reader,
            ):
                reader.hear("ready", 60)
                time.sleep(0.5)
                go.touch()
                seen = reader.hear("times", 90)["times"]
                called = report(out, 60)["times"]
            waits = [(seen[key] - called[key]) * 1000 for key in called if key in seen]
            text = f"{way.label}: {number(percentile(waits, 0.5))} / {number(percentile(waits, 0.99))}"
            if len(waits) < count:
                text += f" ({len(waits)} of {count} arrived)"
            yield Finding(peer.name, "latency", way.name, text, tuple(waits))


def launch(peer: Peer, bench: Bench) -> Iterator[Finding]:
    """Seconds from submitting until user code."""
    for way, begin in peer.launch:
        if bench.wants(way.name):
            with served(peer, bench, way) as server:
                seconds = tuple(begin(server, bench.size(way.count)))
            text = f"{way.label}: {number(statistics.median(seconds))}"
            yield Finding(peer.name, "launch", way.name, text, seconds)


def memory(peer: Peer, bench: Bench) -> Iterator[Finding]:
    """MB of all processes that are there while nothing happens."""
    for way in peer.memory:
        if bench.wants(way.name):
            with served(peer, bench, way) as server:
                server.start_worker()
                time.sleep(IDLE)
                processes = server.processes()
                size = proportional_set_size(processes)
            text = f"{way.label}: {number(size)}, {len(processes)} processes"
            yield Finding(peer.name, "memory", way.name, text, (size, len(processes)))


def crash(peer: Peer, bench: Bench) -> Iterator[Finding]:
    """What is there after the server was killed while records came at a moderate rate."""
    for way in peer.crash:
        if bench.wants(way.name):
            with served(peer, bench, way) as server:
                there, calls = _crash(server, way)
                left = server.left()
            values = (there, calls["logged"], calls["raised_count"], calls["longest"])
            text = "; ".join(part for part in (f"{told(there, calls)} {way.label}", left) if part)
            yield Finding(peer.name, "crash", way.name, text, values)


def _crash(server: Server, way: Way) -> tuple[int, dict[str, Any]]:
    count = int(CRASH_RATE * CRASH_SECONDS)
    with writing(server, way, count, CRASH_RATE, CRASH_SECONDS) as (run, go, out, writer):
        go.touch()
        time.sleep(KILL_AFTER)
        server.kill()
        time.sleep(AWAY)
        server.start()
        try:
            calls = report(out, CRASH_WAIT)
        except TimeoutError:
            calls = left_by(writer, out)
    return settled(lambda: counted(server, run), calls["logged"]), calls


def left_by(writer: Program, out: Path) -> dict[str, Any]:
    """What a writer that hangs reports when it is asked to end; one that was killed with the server says nothing."""
    writer.end(0)
    try:
        return report(out, 10)
    except TimeoutError:
        return {"logged": 0, "raised_count": 0, "longest": 0.0, "finished": False, "gone": True}


def told(there: int, calls: dict[str, Any]) -> str:
    """What the table says of a client whose server was killed and came back."""
    if calls.get("gone"):
        about = number(KILL_AFTER * CRASH_RATE)
        return f"the run ended with it; {there} of the about {about} that it had logged are there"
    logged, raised, longest = calls["logged"], calls["raised_count"], calls["longest"]
    parts = [f"{there} of the {logged} that the client logged are there"]
    if raised:
        kind = calls["raised"][0].partition(":")[0]
        parts.append(f"{raised} call{'s' if raised > 1 else ''} raised {kind}")
    else:
        parts.append("nothing raised")
    if not calls["finished"]:
        parts.append(f"the client still hung after {CRASH_WAIT:.0f} s")
    elif longest > 0.5:
        parts.append(f"longest call {longest:.1f} s")
    return "; ".join(parts)


def worker(peer: Peer, bench: Bench) -> Iterator[Finding]:
    """What the server shows of a run whose process, or worker, was killed, and after how long."""
    for victim in peer.victims:
        if bench.wants(victim.name):
            with served(peer, bench, Way("", "")) as server:
                server.start_worker()
                run, pid = peer.begin(server)
                with server.call("watch", run=run, seconds=bench.notice_within + 10) as watcher:
                    before = watcher.hear("state", 60)["state"]
                    time.sleep(3)
                    killed = time.monotonic()
                    victim.kill(server, pid)
                    states = changes(watcher, killed, bench.notice_within)
            text = f"{victim.label}: {noticed(before, states, bench.notice_within)}"
            yield Finding(peer.name, "worker", victim.name, text, tuple(after for _, after in states))


def changes(watcher: Program, since: float, within: float) -> list[tuple[str, float]]:
    """The states that a run took, with the seconds that had passed, until it ended or the time was over."""
    states: list[tuple[str, float]] = []
    until = since + within
    while (left := until - time.monotonic()) > 0:
        try:
            said = watcher.hear("state", left)
        except (TimeoutError, RuntimeError):
            break
        if said["at"] >= since:
            states.append((said["state"], said["at"] - since))
        if watcher.process.poll() is not None:
            break
    return states


def noticed(before: str, states: list[tuple[str, float]], within: float) -> str:
    """What the table says of them."""
    if not states:
        return f"not within {within:.0f} s, still {before}"
    return ", then ".join(f"{state} after {number(after)} s" for state, after in states)


MEASURES: dict[str, Callable[[Peer, Bench], Iterator[Finding]]] = {
    "ingest": ingest,
    "latency": latency,
    "launch": launch,
    "memory": memory,
    "crash": crash,
    "worker": worker,
}
assert list(MEASURES) == list(findings.WHATS)


@contextmanager
def served(peer: Peer, bench: Bench, way: Way) -> Iterator[Server]:
    """A server with nothing in it, in a folder that is gone afterwards."""
    # Short, because sockets are made in it.
    folder = Path(tempfile.mkdtemp(prefix="peer-"))
    server = peer.server(bench.python, folder, way.settings)
    try:
        server.start()
        yield server
    except BaseException:
        # What it said is all that tells what went wrong.
        print(f"the logs are in {folder}")
        server.close()
        raise
    server.close()
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def writing(
    server: Server, way: Way, count: int, rate: int, seconds: float = 0
) -> Iterator[tuple[str, Path, Path, Program]]:
    """A run that logs as soon as the file `go` is there: its id, `go`, where it reports to, and who writes."""
    go, out = server.path("go"), server.path("out")
    wanted = {"count": count, "rate": rate, "seconds": seconds, "go": str(go), "out": str(out), "way": way.name}
    wanted |= way.told
    with server.call("write", wanted=wanted, **wanted) as writer:
        yield writer.hear("run", 90)["run"], go, out, writer


def report(out: Path, seconds: float) -> dict[str, Any]:
    """What a writer says of its calls. TimeoutError when it does not."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if out.exists():
            said: dict[str, Any] = json.loads(out.read_text())
            return said
        time.sleep(0.05)
    raise TimeoutError(f"the writer did not come to an end within {seconds:.0f} s")


def counted(server: Server, run: str) -> int:
    """How many records another client reads now."""
    with server.call("count", run=run) as counter:
        return int(counter.hear("count", 60)["count"])


def settled(count: Callable[[], int], enough: int) -> int:
    """A count that does not grow any more: some come a little later."""
    before = -1
    for _ in range(6):
        now = count()
        if now >= enough or now == before:
            return now
        before = now
        time.sleep(3)
    return before
