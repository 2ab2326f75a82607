"""How fast a line goes from `ctx.log` into the database: `make bench`.

One run records as fast as it can; orchestrator, runner and run are real processes on this machine. Beside it stands
what the disk itself can do, because the figures mean little without that.
"""

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from athanor.v1 import run_pb2  # noqa: E402

from tests.support.postgresql_server import PostgresqlServer  # noqa: E402
from tests.support.system import System  # noqa: E402

COUNT = 300_000  # events of the flood
STARTS = 10  # runs of which the start is timed


def main() -> None:
    """Measure on both databases and print one table."""
    with tempfile.TemporaryDirectory(prefix="athanor-bench-") as name:
        folder = Path(name)
        print(f"{os.cpu_count()} processors; one flush to disk takes {flush_ms(folder):.2f} ms\n")
        print(f"{'':<12}{'us per ctx.log':>16}{'events/s stored':>18}{'start of a run, ms':>20}")
        measure("SQLite", folder / "sqlite", None)
        with database() as url:
            measure("PostgreSQL", folder / "postgresql", url)


def measure(label: str, folder: Path, url: str | None) -> None:
    """One line of the table."""
    with System(folder, database_url=url, paths=[ROOT / "benchmarks" / "experiments"]) as system:
        system.start_orchestrator()
        system.start_runner()
        starts = sorted(start_ms(system) for _ in range(STARTS))

        begin = time.monotonic()
        run = system.wait_for_end(system.start_run("flood", {"count": COUNT}).id, timeout=300)
        took = time.monotonic() - begin
        assert run.state == run_pb2.RUN_STATE_COMPLETED, run
        (us,) = [float(event.result.value_json) for event in system.events(run.id) if event.HasField("result")]
    print(f"{label:<12}{us:>16.1f}{COUNT / took:>18,.0f}{starts[len(starts) // 2]:>20.0f}", flush=True)


def start_ms(system: System) -> float:
    """From StartRun to the first line that the experiment itself recorded."""
    run = system.start_run("flood", {"count": 1})
    system.wait_for_end(run.id)
    created, *_ = (event.time.ToNanoseconds() for event in system.events(run.id))
    (logged,) = (event.time.ToNanoseconds() for event in system.events(run.id) if event.HasField("log"))
    return (logged - created) / 1e6


def flush_ms(folder: Path) -> float:
    """The median time of a write of 4 KiB and its flush."""
    times = []
    with (folder / "flush").open("wb", buffering=0) as file:
        for _ in range(100):
            begin = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - begin)
    return sorted(times)[len(times) // 2] * 1000


@contextlib.contextmanager
def database() -> Iterator[str]:
    """A PostgreSQL that needs no installation."""
    with PostgresqlServer(durable=True) as server:
        yield server.url(server.create())


if __name__ == "__main__":
    main()
