"""Worlds by the thousand: whatever is drawn for them, every promise is kept.

A world that breaks one is shortened and kept by `python -m tests.simulation.hunt SEED SEED`; `ATHANOR_SEEDS` names how
many there are (default 2000), `ATHANOR_FIRST_SEED` the first.
"""

import os

import pytest

from tests.simulation.decisions import Drawn, intensities
from tests.simulation.simulate import simulate
from tests.simulation.store import Engine

SEEDS = int(os.environ.get("ATHANOR_SEEDS", "2000"))
FIRST = int(os.environ.get("ATHANOR_FIRST_SEED", "0"))
AT_ONCE = 25  # in one test: few enough that they are shared out evenly


@pytest.mark.timeout(180)
@pytest.mark.parametrize("first", range(FIRST, FIRST + SEEDS, AT_ONCE))
def test_every_promise_is_kept(engine: Engine, first: int) -> None:
    """No world breaks a promise."""
    broken = {
        seed: breach
        for seed in range(first, min(first + AT_ONCE, FIRST + SEEDS))
        if (breach := simulate(engine, Drawn(seed, intensities(seed))).breach)
    }
    assert not broken
