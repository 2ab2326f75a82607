"""Two orchestrators on one database, and one of them goes: neither the run nor who watches it notices."""

import itertools
import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from athanor.client.events import LogEntry
from athanor.v1 import run_pb2

from tests.support.databases import PostgresqlStock
from tests.support.ledger import Ledger, recorded_lines
from tests.support.system import BIN, Child, System, wait_until
from tests.support.watching import Watcher

EXPERIMENTS = Path(__file__).parent / "experiments"
COUNT, PER_SECOND = 6000, 800
SOON = 5.0  # seconds without an event, at most; the machine may be busy


@pytest.fixture
def url(postgresql_stock: PostgresqlStock) -> Iterator[str]:
    name = postgresql_stock.take()
    yield postgresql_stock.server.url(name)
    postgresql_stock.give_back(name)


def start_second(system: System, url: str) -> tuple[Child, str]:
    command = [sys.executable, "-m", "athanor_orchestrator", "--listen", "127.0.0.1:0", "--database-url", url]
    second = system.start("second", *command)
    return second, second.wait_for_line(r"^athanor-orchestrator listening on (\S+)$")[1]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("victim", "number"),
    [("first", signal.SIGKILL), ("second", signal.SIGKILL), ("first", signal.SIGTERM)],
    ids=["the one that holds session and watches is killed", "the other is killed", "the first is stopped in order"],
)
def test_one_of_two_orchestrators_goes_and_neither_run_nor_watcher_notices(
    url: str, tmp_path: Path, victim: str, number: signal.Signals
) -> None:
    ledger = Ledger(tmp_path / "ledger")
    with System(tmp_path / "system", database_url=url, paths=[EXPERIMENTS]) as system:
        system.start_orchestrator()
        first, first_address = system.orchestrator, system.target
        assert first is not None
        second, second_address = start_second(system, url)
        both = f"{first_address},{second_address}"
        runner = system.start_runner("runner", "--target", both)
        assert runner.lines == [f"{runner.lines[0].rpartition(' ')[0]} {first_address}"]

        configuration = {"path": str(ledger.path), "count": COUNT, "per_second": PER_SECOND}
        run_id = system.start_run("ledger", configuration).id
        follow = system.start("follow", str(BIN / "athanor"), "logs", run_id, "-f", "--json", "--target", both)
        with Watcher(both, run_id) as watcher:
            wait_until(lambda: len(watcher.seen) > COUNT // 10 and len(follow.lines) > COUNT // 10, 30, "the watches")

            (first if victim == "first" else second).send(number)
            (first if victim == "first" else second).wait()
            # What is still asked is asked of whoever is left.
            system.use(second_address if victim == "first" else first_address)
            assert len(ledger) < COUNT * 3 // 4, "it went in the middle"
            while (run := system.get_run(run_id)).state == run_pb2.RUN_STATE_RUNNING:
                assert not run.HasField("unreachable_since")
                time.sleep(0.1)
            watcher.join(30)
        status = follow.wait()

        assert run.state == run_pb2.RUN_STATE_COMPLETED, str(run)
        assert not run.HasField("unreachable_since")
        (attempt,) = run.attempts
        assert attempt.log_complete
        events = system.events(run_id)
        assert [event.sequence for event in events] == list(range(1, run.last_sequence + 1))
        assert recorded_lines(events) == ledger.lines()

        # The Python client: every event once and in order, none of them late, and no word of an interruption.
        assert [event.sequence for event in watcher.events] == list(range(1, run.last_sequence + 1))
        assert recorded_lines(watcher.events) == ledger.lines()
        assert watcher.interruptions == 0
        times = [seen.time for seen in watcher.seen]
        assert max((later - sooner).total_seconds() for sooner, later in itertools.pairwise(times)) < SOON

        # The command line: the same lines, nothing on standard error, and success.
        printed = [json.loads(line)["message"] for line in follow.lines]
        assert printed == [event.message for event in watcher.events if isinstance(event, LogEntry)]
        assert (status, follow.log) == (0, "")

        moved = [line.rpartition(" ")[2] for line in runner.lines]
        assert moved == ([first_address, second_address] if victim == "first" else [first_address])
