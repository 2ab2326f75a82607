"""Discovery, for real: a process that imports the modules and writes one document."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HEADER = "from athanor.experiment import RunContext, experiment\n"


def describe(*folders: Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> dict[str, Any]:
    """The document, read from a descriptor of its own as the runner does."""
    reading, writing = os.pipe()
    arguments = [argument for folder in folders for argument in ("--path", str(folder))]
    with subprocess.Popen(
        [sys.executable, "-m", "athanor.experiment.describe", *arguments, "--output-fd", str(writing)],
        pass_fds=(writing,),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env={**os.environ, **(env or {})},
    ) as process:
        os.close(writing)
        with os.fdopen(reading) as file:
            text = file.read()
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert out == b""
    return json.loads(text)


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def one(name: str, attribute: str | None = None) -> str:
    return f"@experiment(name={name!r})\ndef {attribute or name}(ctx): ...\n"


def names(document: dict[str, Any]) -> list[str]:
    """Those under folders; what is installed beside the tests is left out."""
    return [entry["name"] for entry in document["experiments"] if entry["search_path"]]


def entry_of(document: dict[str, Any], name: str) -> dict[str, Any]:
    (entry,) = [entry for entry in document["experiments"] if entry["name"] == name]
    return entry


def test_a_definition_is_described_in_full(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "mine",
        {
            "sweep.py": HEADER
            + "from datetime import timedelta\n"
            + "from pydantic import BaseModel, Field\n"
            + "class Config(BaseModel):\n"
            + "    n: int = Field(3, ge=1, title='How many')\n"
            + "    needed: str\n"
            + "print('imported')\n"
            + "@experiment(name='sweep', title='A sweep', timeout=timedelta(minutes=1), max_attempts=2)\n"
            + "def run(ctx: RunContext[Config]):\n"
            + "    'Sweeps.'\n"
        },
    )

    document = describe(folder)

    assert document["format"] == 1
    assert document["errors"] == []
    entry = entry_of(document, "sweep")
    schema = json.loads(entry.pop("configuration_schema_json"))
    assert schema["properties"]["n"] == {"default": 3, "minimum": 1, "title": "How many", "type": "integer"}
    assert schema["required"] == ["needed"]
    code = entry.pop("code")
    assert len(code.pop("digest")) == 64
    assert code == {"module": "sweep:run", "distribution": "", "git_commit": "", "git_dirty": False}
    assert entry == {
        "name": "sweep",
        "title": "A sweep",
        "description": "Sweeps.",
        "default_configuration_json": '{"n":3}',
        "module": "sweep:run",
        "search_path": [str(folder)],
        "default_policy": {
            "timeout_s": 60.0,
            "cancel_grace_period_s": None,
            "max_attempts": 2,
            "retry_backoff_s": None,
            "lost_after_s": None,
        },
    }
    assert str(folder / "sweep.py") in document["watch"]


def test_modules_and_packages_are_searched_and_hidden_ones_and_tests_are_not(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        {
            "top.py": HEADER + one("top"),
            "package/__init__.py": HEADER + one("in_init"),
            "package/inner.py": "from package import in_init\n" + HEADER + one("inner"),
            "package/deep/__init__.py": "",
            "package/deep/deepest.py": HEADER + one("deepest"),
            "package/tests/__init__.py": HEADER + one("no_1"),
            "no_package/module.py": HEADER + one("no_2"),
            "_hidden.py": HEADER + one("no_3"),
            ".hidden/__init__.py": HEADER + one("no_4"),
            "test_top.py": HEADER + one("no_5"),
            "top_test.py": HEADER + one("no_6"),
            "conftest.py": HEADER + one("no_7"),
            "tests/__init__.py": HEADER + one("no_8"),
            "not-a-module.py": HEADER + one("no_9"),
            "notes.txt": "",
        },
    )

    document = describe(folder)

    assert names(document) == ["in_init", "deepest", "inner", "top"]
    assert entry_of(document, "deepest")["module"] == "package.deep.deepest:deepest"
    assert document["errors"] == []


def test_what_is_imported_from_elsewhere_counts_once_where_it_is_defined(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        {
            "first.py": HEADER + one("original") + "alias = original\n",
            "a_second.py": "from first import original\nfrom athanor_experiments.hello import hello\n",
        },
    )

    document = describe(folder)

    assert names(document) == ["original"]
    assert entry_of(document, "original")["module"] == "first:original"
    assert document["errors"] == []


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("raise LookupError('on purpose')\n", "LookupError: on purpose"),
        ("import not_there\n", "ModuleNotFoundError: No module named 'not_there'"),
        ("def broken(:\n", "SyntaxError"),
        ("import sys\nsys.exit(3)\n", "SystemExit: 3"),
        ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
        (HEADER + "@experiment\ndef none(): ...\n", "DefinitionError: experiment none takes no context"),
    ],
)
def test_a_broken_module_is_told_with_its_traceback_and_hides_no_other(tmp_path: Path, source: str, error: str) -> None:
    folder = write(tmp_path, {"a.py": HEADER + one("a"), "broken.py": source, "z.py": HEADER + one("z")})

    document = describe(folder)

    assert names(document) == ["a", "z"]
    ((module, text),) = [(entry["module"], entry["error"]) for entry in document["errors"]]
    assert module == "broken"
    assert error in text
    assert str(folder / "broken.py") in text
    assert "importlib" not in text
    assert str(folder / "broken.py") in document["watch"]


def test_a_model_that_cannot_be_described_is_an_error_of_its_experiment_alone(tmp_path: Path) -> None:
    source = (
        HEADER
        + "from pydantic import BaseModel, Field\n"
        + "class Bad(BaseModel):\n    x: int = Field(default_factory=lambda: 1 // 0)\n"
        + "@experiment\ndef bad(ctx: RunContext[Bad]): ...\n"
        + one("good")
    )

    document = describe(write(tmp_path, {"both.py": source}))

    assert names(document) == ["good"]
    ((module, text),) = [(entry["module"], entry["error"]) for entry in document["errors"]]
    assert module == "both:bad"
    assert "ZeroDivisionError" in text


def test_of_two_with_one_name_the_first_wins_and_both_are_named(tmp_path: Path) -> None:
    folder = write(tmp_path, {"a.py": HEADER + one("same"), "b.py": HEADER + one("same", "other")})

    document = describe(folder)

    assert entry_of(document, "same")["module"] == "a:same"
    assert document["errors"] == [
        {
            "module": "b:other",
            "error": "experiment 'same' is declared in a:same and in b:other; a:same is used",
        }
    ]


def test_a_folder_comes_before_what_is_installed(tmp_path: Path) -> None:
    document = describe(write(tmp_path, {"mine.py": HEADER + one("hello")}))

    assert entry_of(document, "hello")["module"] == "mine:hello"
    assert [entry["module"] for entry in document["errors"]] == ["athanor_experiments.hello:hello"]


def test_a_module_that_another_hides_is_told(tmp_path: Path) -> None:
    first = write(tmp_path / "first", {"same.py": HEADER + one("first")})
    second = write(tmp_path / "second", {"same.py": HEADER + one("second"), "json.py": HEADER + one("shadows")})

    document = describe(first, second)

    assert names(document) == ["first"]
    assert entry_of(document, "first")["search_path"] == [str(first), str(second)]
    hidden = {entry["module"]: entry["error"] for entry in document["errors"]}
    assert f"is hidden by the module 'same' from {first / 'same.py'}; rename it" in hidden["same"]
    assert hidden["json"].startswith(f"{second / 'json.py'} is hidden by the module 'json' from ")


def test_what_is_installed_is_found_by_its_entry_points(tmp_path: Path) -> None:
    site = write(
        tmp_path / "site",
        {
            "theirs/__init__.py": "from theirs.inner import exported\n" + HEADER + one("own"),
            "theirs/inner.py": HEADER + one("exported") + one("not_exported"),
            "single.py": HEADER + one("one") + one("two"),
            "theirs-2.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: theirs\nVersion: 2.1\n",
            "theirs-2.1.dist-info/entry_points.txt": "[athanor.experiments]\npackage = theirs\nsingle = single:two\n"
            "broken = missing_module\nwrong = single:HEADER\nnone = theirs:__name__\n",
        },
    )

    document = describe(env={"PYTHONPATH": str(site)})

    found = {entry["name"]: entry for entry in document["experiments"]}
    assert {"own", "exported", "two"} <= set(found)
    assert not {"one", "not_exported"} & set(found)
    assert found["exported"]["module"] == "theirs:exported"
    assert found["two"]["search_path"] == []
    assert found["two"]["code"]["distribution"] == "theirs==2.1"
    errors = {entry["module"]: entry["error"] for entry in document["errors"]}
    assert "No module named 'missing_module'" in errors["missing_module"]
    assert "has no attribute 'HEADER'" in errors["single:HEADER"]
    assert errors["theirs:__name__"] == "entry point 'none': theirs:__name__ is no experiment"
    assert {"hello", "digits", "substrate_shift", "judge"} <= set(found)  # the examples


def test_the_digest_follows_the_packages_own_sources(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        {
            "package/__init__.py": "",
            "package/a.py": HEADER + one("a"),
            "package/helper.py": "X = 1\n",
            "package/data.txt": "",
            "alone.py": HEADER + one("alone"),
        },
    )
    before = {name: entry_of(describe(folder), name)["code"]["digest"] for name in ("a", "alone")}

    write(folder, {"package/helper.py": "X = 2\n", "package/data.txt": "changed"})
    after = {name: entry_of(describe(folder), name)["code"]["digest"] for name in ("a", "alone")}

    assert after["a"] != before["a"]
    assert after["alone"] == before["alone"]
    write(folder, {"package/helper.py": "X = 1\n"})
    assert entry_of(describe(folder), "a")["code"]["digest"] == before["a"]
    assert str(folder / "package" / "helper.py") in describe(folder)["watch"]
    assert not list(folder.rglob("__pycache__"))  # which would make it look changed


def test_the_commit_is_told_and_whether_the_tree_differs(tmp_path: Path) -> None:
    folder = write(tmp_path, {"a.py": HEADER + one("a"), "package/__init__.py": HEADER + one("b"), "notes.txt": "1"})

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
        return subprocess.run(
            ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
        ).stdout.strip()

    def version(name: str) -> tuple[str, bool]:
        code = entry_of(describe(folder), name)["code"]
        return code["git_commit"], code["git_dirty"]

    git("init", "--quiet")
    assert version("a") == ("", False)  # no commit yet
    git("add", "a.py", "notes.txt")
    git("commit", "--quiet", "-m", "first")
    commit = git("rev-parse", "HEAD")
    assert version("a") == (commit, False)
    assert version("b") == (commit, True)  # its own file is not in the commit
    write(folder, {"results.csv": "what a run left here"})
    assert version("a") == (commit, False)
    write(folder, {"notes.txt": "2"})
    assert version("a") == (commit, True)


def test_without_git_there_is_no_commit(tmp_path: Path) -> None:
    document = describe(
        write(tmp_path, {"a.py": HEADER + one("a")}), env={"PATH": str(tmp_path / "no"), "PYTHONPATH": ""}
    )

    assert entry_of(document, "a")["code"]["git_commit"] == ""


def test_no_folder_is_no_error(tmp_path: Path) -> None:
    assert names(describe(tmp_path / "not_there")) == []


def test_the_working_directory_is_not_searched(tmp_path: Path) -> None:
    write(tmp_path, {"pydantic.py": "raise LookupError('the wrong one')\n"})

    document = describe(write(tmp_path / "mine", {"a.py": HEADER + "import pydantic\n" + one("a")}), cwd=tmp_path)

    assert names(document) == ["a"]
    assert document["errors"] == []


def test_a_thread_that_a_module_started_does_not_keep_it(tmp_path: Path) -> None:
    source = "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\n"
    folder = write(tmp_path, {"busy.py": source + HEADER + one("busy")})

    assert "busy" in {entry["name"] for entry in describe(folder)["experiments"]}
