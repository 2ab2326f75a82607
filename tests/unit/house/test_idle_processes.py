"""What the processes that stay do not hold in memory: each of these was there once, and cost megabytes."""

import importlib.metadata
import subprocess
import sys

import athanor_runner
import pytest

# What a process imports to begin with, and what it has no use for until something asks for it.
IDLE = {
    "supervisor": (
        "import athanor.cli.system",
        (
            "grpc",
            "google.protobuf",
            "athanor.client",
            "typer",
            "rich",
            "pydantic",
            "tenacity",
            "argparse",
            "sqlalchemy",
        ),
    ),
    "orchestrator": (
        "import athanor_orchestrator.__main__",
        ("psycopg", "jsonschema", "referencing", "alembic", "mako", "tenacity", "pydantic", "sqlalchemy.orm"),
    ),
    "orchestrator with its database open": (
        "import athanor_orchestrator.__main__\n"
        "from athanor_orchestrator.domain.clock import SystemClock\n"
        "from athanor_orchestrator.storage.database import Database\n"
        "Database.open('sqlite:///{data}/athanor.db', clock=SystemClock(), on_commit=print)",
        ("psycopg", "jsonschema", "referencing", "alembic", "mako"),
    ),
    "runner": (
        "import athanor_runner.__main__",
        ("pydantic", "tenacity", "sqlalchemy", "importlib.metadata", "email", "multiprocessing", "http"),
    ),
}


@pytest.mark.parametrize("process", IDLE)
def test_an_idle_process_has_loaded_nothing_that_it_does_not_use(process: str, database_of_this_version: str) -> None:
    statements, unwanted = IDLE[process]
    script = statements.replace("{data}", database_of_this_version)
    shown = loaded(script, unwanted)
    assert shown == "[]"


def test_a_check_finds_what_is_loaded() -> None:
    """The check has to be able to fail."""
    assert loaded("import athanor.client", ("grpc", "typer")) == "['grpc']"


def test_the_runner_says_the_version_of_its_distribution() -> None:
    """It is written down, because reading it from the installed package would load two megabytes."""
    assert athanor_runner.__version__ == importlib.metadata.version("athanor-runner")


def loaded(script: str, names: tuple[str, ...]) -> str:
    """Those of the modules that are there after the script, in an interpreter of its own."""
    script += f"\nimport sys\nprint([name for name in {names!r} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def database_of_this_version(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A data folder that an orchestrator has used: only a database that is older or new has to be migrated."""
    folder = tmp_path_factory.mktemp("data")
    script = IDLE["orchestrator with its database open"][0].replace("{data}", str(folder))
    assert loaded(script, ("alembic",)) == "['alembic']"
    return str(folder)
