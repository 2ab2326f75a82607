"""A stranger's package: every command of its page, in a folder and an environment of its own."""

import importlib.metadata
import importlib.util
import os
import shlex
from pathlib import Path

import pytest

from tests.support.console import commands, type_in
from tests.support.system import BIN, System

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "experiments" / "own-package-example" / "README.md"

# What the commands would fetch, were there a network: what `athanor` needs, pytest, and what builds a package.
FETCHED = (
    *("pydantic", "pydantic_core", "annotated-types", "typing_extensions", "typing-inspection"),
    *("pytest", "pluggy", "iniconfig", "packaging", "pygments"),
    *("hatchling", "editables", "pathspec", "trove-classifiers"),
)


@pytest.mark.timeout(120)
def test_every_command_of_its_page_does_what_the_page_says(tmp_path: Path) -> None:
    assert importlib.util.find_spec("coin_lab") is None, "it is not installed where Athanor is"
    typed = [command.replace("ATHANOR", str(ROOT)) for command in commands(PAGE)]
    copy, enter, make, *installs, test, up, list_experiments, run = typed
    env = offline(tmp_path / "site")

    type_in(copy, folder=tmp_path, env=env)
    folder = tmp_path / shlex.split(enter)[1]
    assert type_in(f"{enter} && pwd", folder=tmp_path, env=env).strip() == str(folder)

    type_in(make, folder=folder, env=env)
    for install in installs:
        type_in(install, folder=folder, env=env)
    assert " passed" in type_in(test, folder=folder, env=env)
    alone = "import importlib.util as found; print([found.find_spec(name) for name in ('grpc', 'athanor_runner')])"
    printed = type_in(shlex.join([".venv/bin/python", "-c", alone]), folder=folder, env=env)
    assert printed.strip() == "[None, None]", "it needs nothing of Athanor but the package `athanor`"

    with System(folder, env=env) as system:
        where = {"ATHANOR_LISTEN": "127.0.0.1:0", "ATHANOR_DATA": str(tmp_path / "data")}
        child = system.start("up", *shlex.split(up), env=where)
        system.use(child.wait_for_line(r"ready at (\S+)")[1])
        there = env | {"ATHANOR_TARGET": system.target}
        listed = type_in(list_experiments, folder=folder, env=there)
        assert [line.split()[0] for line in listed.splitlines()] == ["NAME", "coins"], "and nothing of the runner's own"

        first = type_in(run, folder=folder, env=there)
        assert "called biased in 99 of 100 trials" in first
        assert "COMPLETED after" in first

        # "When files of the package change, the runner reads them again, and the next run takes the new code."
        source = folder / "coin_lab" / "coins.py"
        source.write_text(source.read_text().replace("called biased in", "taken for biased in"))
        assert "taken for biased in 99 of 100 trials" in type_in(run, folder=folder, env=there)
        digests = {
            attempt.code.digest
            for shown in system.cli_json("runs", "list")["runs"]
            for attempt in system.get_run(shown["id"]).attempts
        }
        assert len(digests) == 2, "each attempt records the code that it ran"


def offline(site: Path) -> dict[str, str]:
    """An environment in which pip finds all that it would fetch to be there already, and asks nobody."""
    site.mkdir()
    for name in FETCHED:
        distribution = importlib.metadata.distribution(name)
        assert distribution.files is not None
        for top in {Path(str(file)).parts[0] for file in distribution.files} - {"..", "__pycache__"}:
            (site / top).symlink_to(Path(str(distribution.locate_file(top))))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ATHANOR_", "PIP_", "PYTEST_"))}
    return kept | {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "PYTHONPATH": str(site),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # with pip, 0 is what turns isolation off
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_CONFIG_FILE": os.devnull,
    }
