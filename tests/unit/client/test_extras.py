"""A library that is missing is asked for by its own name, which an index knows, and that of its extra."""

import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from athanor.client import MissingExtraError, Results, _extras, notebook
from athanor.client.compare import compare

from tests.support.found import result, run

PROJECT = tomllib.loads((Path(__file__).resolve().parents[3] / "client" / "pyproject.toml").read_text())
OPTIONAL: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
SHIPPED_AS = {"IPython": "ipython", "numpy": "pandas"}  # pandas requires numpy


@pytest.mark.parametrize(
    "module", ["pandas", "numpy", "polars", "pyarrow.parquet", "matplotlib.pyplot", "IPython.display"]
)
def test_what_is_missing_is_said_in_one_line_with_what_helps(module: str, monkeypatch: pytest.MonkeyPatch):
    library = module.partition(".")[0]
    monkeypatch.delitem(sys.modules, module, raising=False)  # an earlier test may have loaded it
    monkeypatch.setitem(sys.modules, library, None)  # as if it were not installed
    with pytest.raises(MissingExtraError) as caught:
        _extras.load(module)
    extra = _extras.EXTRAS[library]
    assert str(caught.value) == f"{library} is not installed: pip install {library.lower()} (Athanor's extra {extra!r})"
    assert (caught.value.name, caught.value.extra) == (library, extra)
    assert isinstance(caught.value, ImportError)


@pytest.mark.parametrize(
    ("library", "use"),
    [
        ("pandas", lambda: Results([]).to_pandas()),
        ("polars", lambda: Results([]).to_polars()),
        ("pandas", lambda: compare([], {}).to_pandas()),
        ("polars", lambda: compare([], {}).to_polars(by="group")),
        ("matplotlib", lambda: compare([run("r")], {"r": [result("k", 1)]}).plot()),
        ("IPython", lambda: notebook.live([])),
    ],
)
def test_who_needs_what_is_missing_says_so(library: str, use: Callable[[], object], monkeypatch: pytest.MonkeyPatch):
    for module in [name for name in sys.modules if name == library or name.startswith(f"{library}.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError) as caught:
        use()
    assert caught.value.extra == _extras.EXTRAS[library]
    assert str(caught.value).startswith(f"{library} is not installed: pip install {library.lower()} ")


def test_a_library_that_is_broken_says_so_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "brokenlib.py").write_text("import a_part_of_it_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(_extras.EXTRAS, "brokenlib", "broken")
    with pytest.raises(ModuleNotFoundError, match="a_part_of_it_that_is_not_there") as caught:
        _extras.load("brokenlib")
    assert not isinstance(caught.value, MissingExtraError)


@pytest.mark.parametrize(("library", "extra"), _extras.EXTRAS.items())
def test_each_extra_brings_its_library(library: str, extra: str):
    wanted = SHIPPED_AS.get(library, library)
    assert any(requirement.startswith(wanted) for requirement in OPTIONAL[extra])


def test_there_is_an_extra_for_all_of_them():
    (everything,) = OPTIONAL["all"]
    inside = everything.removeprefix("athanor[").removesuffix("]").split(",")
    assert set(inside) == {"cli", *_extras.EXTRAS.values()}
