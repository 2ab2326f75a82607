"""The simulation itself: the same decisions make the same world, and the oracles can see."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.body import Ledgers
from tests.simulation.decisions import Drawn, Replayed, Trace, intensities
from tests.simulation.oracles import Breach, Log, Oracles
from tests.simulation.simulate import simulate
from tests.simulation.store import Engine


def test_a_seed_makes_the_same_world_again(engine: Engine) -> None:
    """And so does its trace."""
    first = Drawn(5, intensities(5))
    report = simulate(engine, first)
    again = Drawn(5, intensities(5))
    assert simulate(engine, again) == report
    assert again.trace == first.trace
    assert simulate(engine, Replayed(first.trace)) == report


def test_a_seed_makes_the_same_world_in_another_process(engine: Engine) -> None:
    """Where texts have other hashes, and sets another order."""
    report = simulate(engine, Drawn(6, intensities(6)))
    code = (
        "import logging, tempfile; from pathlib import Path; logging.disable(logging.CRITICAL);"
        "from tests.simulation.decisions import Drawn, intensities; from tests.simulation.store import Engine;"
        "from tests.simulation.simulate import simulate; from tests.support.inline_database import make_template;"
        "folder = tempfile.TemporaryDirectory(); template = make_template(Path(folder.name) / 'template.db');"
        "print(simulate(Engine(template), Drawn(6, intensities(6))))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert outputs == {str(report)}


def test_a_trace_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Numbers, truths and texts alike."""
    trace = Trace({("one", 3): True, ("two", 0): 1.25, ("three", 7): 2})
    trace.write(tmp_path / "trace.json", breach="a promise")
    assert Trace.read(tmp_path / "trace.json") == (trace, {"breach": "a promise"})


def test_worlds_differ_in_what_happens_in_them(engine: Engine) -> None:
    """Runs that complete, that fail, that are cancelled: all of it comes up within a few."""
    states = {state for seed in range(12) for state in simulate(engine, Drawn(seed, intensities(seed))).states}
    assert states == {"3", "4", "5"}


@pytest.mark.parametrize(
    ("before", "sequence", "payload", "says"),
    [(0, 2, b"b", "behind 0"), (2, 3, b"c", "before it was committed"), (1, 2, b"x", "other bytes")],
)
def test_a_watcher_that_is_given_something_else_is_seen(
    engine: Engine, before: int, sequence: int, payload: bytes, says: str
) -> None:
    """A gap, something that is not there yet, something else than is stored."""
    oracles = Oracles(engine.raw, Ledgers())
    oracles.logs["run"] = Log([b"a", b"b"])
    oracles.watched("run", before, sequence, payload)
    assert isinstance(oracles.breach, Breach)
    assert says in str(oracles.breach)
