"""The texts that every CPython ships are there, long enough, and got at without executing anything that speaks."""

import re

import pytest
from athanor_experiments.models import texts
from athanor_experiments.models.configuration import NAMES
from athanor_experiments.models.local import HIGHEST_ORDER
from athanor_experiments.models.ngram import normalize


@pytest.mark.parametrize("name", sorted(texts.TEXTS))
def test_it_is_there(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = texts.read(name)
    assert (800 if name == "zen" else 15_000) < len(text) <= texts.LONGEST
    assert normalize(text).count("?") < len(text) / 50, "hardly anything of it is outside of the alphabet"
    assert capsys.readouterr().out == ""


def test_they_are_what_they_are_called() -> None:
    assert texts.read("zen").startswith("The Zen of Python, by Tim Peters\n\nBeautiful is better than ugly.")
    assert "LATIN SMALL LETTER A\n" in texts.read("characters")
    assert 'The "assert" statement' in texts.read("reference")
    assert "    return " in texts.read("source")
    assert "Push an integer or bool." in texts.read("opcodes")
    assert "Command-line parsing library" in texts.read("docstrings")


def test_another_name_is_refused() -> None:
    with pytest.raises(KeyError):
        texts.read("novel")


def test_a_python_that_comes_without_one_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(texts.TEXTS, "gone", lambda: texts._source("no_such_module"))
    with pytest.raises(OSError, match="without the source of 'no_such_module'"):
        texts.read("gone")
    monkeypatch.setitem(texts.TEXTS, "empty", str)
    with pytest.raises(OSError, match="without the text 'empty'"):
        texts.read("empty")


def test_the_descriptions_of_configurations_name_them_all() -> None:
    named = NAMES.split("Local: ")[1].split(", and how many")[0]
    assert re.split(", | or ", named) == list(texts.TEXTS)
    assert f"1 to {HIGHEST_ORDER}:" in NAMES
