"""What was found once is not found again: each kept trace, replayed, and each mutant, caught by its trace."""

import re
from pathlib import Path

import pytest

from tests.simulation.decisions import Replayed, Trace
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.simulate import simulate
from tests.simulation.store import Engine

TRACES = Path(__file__).parent / "traces"


@pytest.mark.parametrize("path", sorted(TRACES.glob("*.json")), ids=lambda path: path.stem)
def test_no_kept_trace_breaks_a_promise(engine: Engine, path: Path) -> None:
    """Production code keeps every promise in the worlds in which something, or a mutant, once did not."""
    trace, _ = Trace.read(path)
    decisions = Replayed(trace)
    assert simulate(engine, decisions).breach == ""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_is_caught_by_its_trace(engine: Engine, mutant: Mutant) -> None:
    """Without one rule the trace breaks a promise, and by what it decides, not by chance."""
    trace, about = Trace.read(TRACES / f"{mutant.name}.json")
    decisions = Replayed(trace)
    with mutant.installed():
        report = simulate(engine, decisions)
    assert in_words(report.breach) == in_words(about["breach"])
    # A mutant that breaks the most ordinary world needs no decision.
    assert decisions.used or not trace.choices, "nothing that the trace decides comes up any more"


def in_words(breach: str) -> str:
    """A breach without the ids and numbers of one world."""
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9]+(\.[0-9]+)?", "*", breach)


def test_there_is_a_mutant_for_each_rule() -> None:
    """The rules that the protocol stands on, each taken out by a mutant of its own."""
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert {mutant.name for mutant in MUTANTS} <= {path.stem for path in TRACES.glob("*.json")}
