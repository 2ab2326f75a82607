"""Fixtures of the engine's tests: an orchestrator's runner side on a database that does everything at once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from athanor_orchestrator.engine.timings import Timings

from tests.support.inline_database import make_template
from tests.support.orchestrated import Orchestrated


@pytest.fixture(scope="session")
def database_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database with the newest schema."""
    return make_template(tmp_path_factory.mktemp("template") / "template.db")


@pytest.fixture
def orchestrate(database_template: Path, tmp_path: Path) -> Iterator[Callable[..., Orchestrated]]:
    """Call it inside the test's loop."""
    made: list[Orchestrated] = []

    def make(timings: Timings | None = None) -> Orchestrated:
        made.append(Orchestrated(database_template, tmp_path, timings))
        return made[-1]

    yield make
    for one in made:
        one.database.close()
