"""`athanor new`: what it makes works as its README says, every command of it, word for word."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.system import BIN, Child, System, clean_environment

ROOT = Path(__file__).resolve().parents[2]

# What `pip install` would fetch: the package's own requirements with what they bring, and what builds it.
FETCHED = (
    *("pydantic", "pydantic-core", "annotated-types", "typing-extensions", "typing-inspection"),
    *("pytest", "pluggy", "iniconfig", "packaging", "pygments"),
    *("hatchling", "pathspec", "trove-classifiers", "editables"),
)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """The folder of a new experiment."""
    done = subprocess.run(
        [BIN / "athanor", "new", "coin_toss"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[0] == "made coin_toss/"
    assert re.findall(r"^  (cd|athanor) ", done.stdout, re.MULTILINE) == ["cd", "athanor", "athanor"]
    return tmp_path / "coin_toss"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Where Athanor is on the path, `python` is a Python, and pip has no network but what is here."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "athanor").symlink_to(BIN / "athanor")
    (tmp_path / "bin" / "python").symlink_to(Path(sys.base_prefix) / "bin" / "python3")
    environment = clean_environment()
    environment.pop("VIRTUAL_ENV", None)
    return environment | {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "XDG_DATA_HOME": str(tmp_path / "share"),
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this option the other way round: it builds with what is here
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_CONFIG_FILE": os.devnull,
    }


@pytest.fixture
def system(tmp_path: Path, environment: dict[str, str]) -> Iterator[System]:
    with System(tmp_path / "system", env=environment) as system:
        yield system


def commands(made: Path) -> list[str]:
    """The commands of its README, in their order."""
    return re.findall(r"^\$ (.*)$", (made / "README.md").read_text(), re.MULTILINE)


def shell(command: str, made: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(["bash", "-c", command], cwd=made, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def up(system: System, command: str, made: Path, name: str) -> Child:
    """The command of the README, on a port that is free."""
    script = f"cd {made} && exec {command} --listen 127.0.0.1:0"
    child = system.start(name, "bash", "-c", script)
    system.use(child.wait_for_line(r"^Athanor is ready at (\S+)$")[1])
    child.wait_for_line(r"^  experiments  .*\bcoin_toss\b")
    child.wait_for_line(r"^  athanor run coin_toss$")
    child.wait_for_line(r"^Ctrl-C stops it\.$")
    return child


def fetch(site: Path) -> None:
    """Put into an environment what pip would fetch for it, from what is here."""
    for name in FETCHED:
        distribution = importlib.metadata.distribution(name)
        assert distribution.files is not None
        for top in sorted({file.parts[0] for file in distribution.files if file.parts[0] not in ("..", "__pycache__")}):
            source = Path(str(distribution.locate_file(top)))
            if source.exists() and not (site / top).exists():
                (site / top).symlink_to(source)


@pytest.mark.timeout(180)  # an environment is made, and filled by pip
def test_every_command_of_its_readme_works(made: Path, environment: dict[str, str], system: System) -> None:
    up_here, run, run_grid, compare, venv, pip, tests, up_there = commands(made)
    assert up_here == "athanor up --path ."
    assert up_there == "athanor up --python .venv/bin/python"

    first = up(system, up_here, made, "up")
    here = environment | {"ATHANOR_TARGET": system.target}
    assert "COMPLETED" in shell(run, made, here)
    assert "COMPLETED" in shell(run_grid, made, here)
    header, at_random, on_a_grid = shell(compare, made, here).splitlines()
    assert header.split() == ["RUN", "STATE", "method", "estimate", "error.mean", "error.largest"]
    assert float(on_a_grid.split()[4]) < float(at_random.split()[4]) / 2, "the second configuration is better"
    first.stop()

    shell(venv, made, environment)
    (site,) = (made / ".venv" / "lib").glob("python*/site-packages")
    fetch(site)
    shell(pip, made, environment)
    assert "5 passed" in shell(tests, made, environment)

    second = up(system, up_there, made, "up of its own")
    found = system.cli_json("experiments", "show", "coin_toss")
    assert found["code"]["distribution"] == "coin-toss==0.1.0"
    assert "COMPLETED" in shell(run, made, environment | {"ATHANOR_TARGET": system.target})
    second.stop()


def test_what_it_made_is_formatted_linted_and_typed(made: Path) -> None:
    config = ["--config", ROOT / "pyproject.toml", "--no-cache"]
    for command in (["ruff", "format", "--check", *config], ["ruff", "check", *config]):
        done = subprocess.run([BIN / command[0], *command[1:], made], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("coin_toss", "exists already; nothing was changed"),
        ("other-name", "how about other_name?"),
        ("json", "means something in Python already"),
        ("digits", "there is an experiment 'digits' already"),
        ("grpc", "there is an installed module 'grpc' already"),
    ],
)
def test_a_name_that_will_not_do_changes_nothing(made: Path, name: str, said: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.parent.rglob("*")}
    done = subprocess.run([BIN / "athanor", "new", name], cwd=made.parent, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert {path: path.stat().st_mtime_ns for path in made.parent.rglob("*")} == before


def test_it_says_what_it_made(tmp_path: Path) -> None:
    import json

    command = [BIN / "athanor", "new", "coin_toss", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    folder = tmp_path / "coin_toss"
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert json.loads(done.stdout) == {"folder": str(folder), "files": files}
    shutil.rmtree(folder)


def test_its_templates_are_in_the_distribution(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT / "client", check=True, capture_output=True)
    (wheel,) = tmp_path.glob("athanor-*.whl")
    folder = "athanor/cli/templates/experiment"
    there = {path.name for path in (ROOT / "client" / folder).iterdir()}
    with zipfile.ZipFile(wheel) as archive:
        packed = {name.rpartition("/")[2] for name in archive.namelist() if name.startswith(f"{folder}/")}
    assert packed == there
    assert len(packed) == 5
