"""What the simulation's tests share."""

import logging
from collections.abc import Iterator

import pytest

from tests.simulation.store import Engine
from tests.support.inline_database import make_template


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """The database of one world after the other."""
    return Engine(make_template(tmp_path_factory.mktemp("template") / "template.db"))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What goes wrong in a world is logged by the thousand, and is meant to."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
