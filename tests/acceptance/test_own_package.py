"""A stranger's package: tested, installed into an environment of its own, and run there with `--python`."""

import importlib.util
import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from athanor.v1 import run_pb2

from tests.support.system import BIN, System, clean_environment

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "experiments" / "own-package-example"

# What the environment needs of others: pydantic with what it brings, and pytest for the package's own tests.
PYDANTIC = ("pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection")
PYTEST = ("pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "pygments")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the package `athanor`, pydantic, pytest and the example, and nothing else.

    As `pip install` would make it, without a network: the libraries are those that are here, the example is built and
    installed.
    """
    folder = tmp_path_factory.mktemp("own")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    python = folder / "venv" / "bin" / "python"

    libraries = folder / "libraries"
    libraries.mkdir()
    for name in (*PYDANTIC, *PYTEST):
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        found = Path(spec.origin)
        source = found.parent if found.name.startswith("__init__.") else found
        (libraries / source.name).symlink_to(source)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (site / "libraries.pth").write_text(f"{libraries}\n{ROOT / 'client'}\n")

    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=EXAMPLE, check=True, capture_output=True)
    (wheel,) = folder.glob("coin_lab-*.whl")
    install = [str(BIN / "uv"), "pip", "install", "--offline", "--no-deps", "--python", str(python), str(wheel)]
    subprocess.run(install, check=True, capture_output=True, env=clean_environment() | {"UV_NO_CONFIG": "1"})
    return python


def test_its_own_tests_pass_there(environment: Path, tmp_path: Path) -> None:
    command = [str(environment), "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE / "tests")]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=clean_environment() | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_it_runs_in_its_environment_and_is_found_by_its_entry_point(environment: Path, tmp_path: Path) -> None:
    assert importlib.util.find_spec("coin_lab") is None, "it is not installed where Athanor is"
    with System(tmp_path / "system") as system:
        system.start_orchestrator()
        system.start_runner("runner", "--python", str(environment))
        run = system.wait_for_end(system.start_run("coins", {"trials": 20}, seed=7).id)
        assert run.state == run_pb2.RUN_STATE_COMPLETED

        results = {
            event.result.key: json.loads(event.result.value_json)
            for event in system.events(run.id)
            if event.HasField("result")
        }
        assert set(results) == {*(f"trial/{number}" for number in range(1, 21)), "summary"}
        found = {item["name"] for item in system.cli_json("experiments", "list")["experiments"]}
        assert found == {"coins"}, "what is in the environment, and nothing of the runner's own"
