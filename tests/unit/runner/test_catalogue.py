"""What a description says, what differs between two, and what shows that files changed."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from athanor.experiment.assignment import Code
from athanor_runner.catalogue import Change, DefaultPolicy, Definition, Description, difference, fingerprint, parse


def document(**changes: Any) -> dict[str, Any]:
    entry = {
        "name": "hello",
        "title": "Hello",
        "description": "says it",
        "configuration_schema_json": "{}",
        "default_configuration_json": "{}",
        "module": "greeting:hello",
        "search_path": ["/experiments"],
        "code": {"digest": "d", "module": "greeting:hello", "distribution": "", "git_commit": "", "git_dirty": False},
        "default_policy": {
            "timeout_s": 3.5,
            "cancel_grace_period_s": None,
            "max_attempts": 2,
            "retry_backoff_s": None,
            "lost_after_s": None,
        },
    }
    return {
        "format": 1,
        "experiments": [entry],
        "errors": [{"module": "broken", "error": "Traceback"}],
        "watch": ["/experiments/greeting.py"],
        **changes,
    }


def definition(name: str = "hello", digest: str = "d") -> Definition:
    return Definition(
        name, "Hello", "says it", "{}", "{}", "greeting:hello", ("/experiments",),
        Code(digest=digest, module="greeting:hello"), DefaultPolicy(timeout_s=3.5, max_attempts=2),
    )  # fmt: skip


def test_a_description_is_read() -> None:
    found = parse(json.dumps(document()))
    assert found == Description({"hello": definition()}, {"broken": "Traceback"}, (Path("/experiments/greeting.py"),))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2}', '{"format": 1}', json.dumps(document(experiments=[{"name": "x"}]))]
)
def test_what_is_no_description_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


def test_what_has_to_be_told_is_what_differs() -> None:
    before = Description({"a": definition("a"), "b": definition("b")}, {"m": "old", "n": "same"})
    after = Description({"b": definition("b", "new"), "c": definition("c")}, {"n": "same", "o": "new"})
    assert difference(before, after) == Change(
        definitions=(definition("b", "new"), definition("c")), gone=("a",), errors=(("o", "new"), ("m", ""))
    )
    assert difference(after, after) == Change((), (), ())


def test_a_changed_file_shows(tmp_path: Path) -> None:
    code = tmp_path / "a.py"
    code.write_text("1")
    before = fingerprint([code], [tmp_path])
    assert fingerprint([code], [tmp_path]) == before
    os.utime(code, ns=(1, 1))
    assert fingerprint([code], [tmp_path]) != before


def test_a_file_that_came_or_went_shows(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    before = fingerprint([tmp_path / "a.py"], [tmp_path])
    (tmp_path / "b.py").write_text("2")
    both = fingerprint([tmp_path / "a.py"], [tmp_path])
    (tmp_path / "a.py").unlink()
    assert before != both != fingerprint([tmp_path / "a.py"], [tmp_path])


def test_a_new_package_shows_and_output_does_not(tmp_path: Path) -> None:
    before = fingerprint([], [tmp_path])
    (tmp_path / "result.json").write_text("{}")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / ".git").mkdir()
    assert fingerprint([], [tmp_path]) == before
    (tmp_path / "package").mkdir()
    folder = fingerprint([], [tmp_path])
    assert folder != before
    (tmp_path / "package" / "__init__.py").touch()
    assert fingerprint([], [tmp_path]) != folder


def test_a_root_that_is_gone_is_no_trouble(tmp_path: Path) -> None:
    assert fingerprint([tmp_path / "x" / "a.py"], [tmp_path / "x"]) == {}
