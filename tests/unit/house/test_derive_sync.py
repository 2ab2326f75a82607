"""The blocking client is what the asynchronous one derives; and the tool refuses what it has no rule for."""

import ast
import re
from pathlib import Path

import pytest

from tools import derive_sync
from tools.derive_sync import SOURCE, TARGET, Unclear, derive, faults, stale


def test_the_committed_client_is_what_is_derived() -> None:
    sources = derive_sync.sources()
    assert len(sources) > 10
    fresh = {name: derive_sync.formatted(derive(source, name), name) for name, source in sources.items()}
    assert faults(fresh, TARGET) == []
    assert stale(sources) == []


def body(source: str) -> str:
    return derive(source, "x.py").partition("\n\n")[2]


@pytest.mark.parametrize(
    ("source", "derived"),
    [
        ("async def f() -> int: ...", "def f() -> int: ..."),
        ("return await self.call(await g())", "return self.call(g())"),
        ("async with a as b:", "with a as b:"),
        ("[x async for x in y]", "[x for x in y]"),
        ("class AsyncRun(Bound['AsyncClient']): ...", "class Run(Bound['Client']): ..."),
        ("from athanor.client._async.runs import AsyncRuns", "from athanor.client._sync.runs import Runs"),
        ("item = await anext(self._batches)", "item = next(self._batches)"),
        ("for item in aiter(x): ...", "for item in iter(x): ..."),
        ("raise StopAsyncIteration", "raise StopIteration"),
        ("def __aiter__(self) -> AsyncIterator[int]: ...", "def __iter__(self) -> Iterator[int]: ..."),
        ("await self.aclose()", "self.close()"),
        ("stub: 'RunServiceAsyncStub'", "stub: 'RunServiceStub'"),
        ("tenacity.AsyncRetrying()", "tenacity.Retrying()"),
        ("f: Callable[[str], Awaitable[Page[Item]]]", "f: Callable[[str], Page[Item]]"),
        ("f: Callable[[], Awaitable[list[Awaitable[int]]]]", "f: Callable[[], list[int]]"),
        (
            "from collections.abc import AsyncIterator, Awaitable, Callable",
            "from collections.abc import Iterator, Callable",
        ),
        ("# an asynchronous iterator over a run", "# an iterator over a run"),
    ],
)
def test_each_rule(source: str, derived: str) -> None:
    assert body(source) == derived


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("asyncio.timeout(3)", "asyncio"),
        ("import grpc.aio", "aio"),
        ("x: Awaitable", "Awaitable"),
        ("def __await__(self): ...", "__await__"),
        ("# it is asynchronous", "asynchronous"),
        ("SomeAsyncThing()", "SomeAsyncThing"),
        ("await(f())", "await"),
        ("@asynccontextmanager", "asynccontextmanager"),
        ("stack.enter_async_context(x)", "enter_async_context"),
        ("with aclosing(x): ...", "aclosing"),
        ("generator.athrow(error)", "athrow"),
        ("from collections.abc import Coroutine", "Coroutine"),
        ("# for one task", "task"),
        ("# in its event loop", "event loop"),
        ("# Asynchronous, that is", "Asynchronous"),
    ],
)
def test_a_word_that_no_rule_knows_is_refused_with_its_place(source: str, word: str) -> None:
    with pytest.raises(Unclear, match=rf"^x\.py:2: no rule says what becomes of '{word}': "):
        derive(f"\n{source}", "x.py")


def test_what_was_derived_says_so_in_its_first_line() -> None:
    assert derive("x = 1", "runs.py").startswith("# Derived from _async/runs.py by tools/derive_sync.py")


def test_it_is_formatted_with_its_imports_in_order() -> None:
    text = "from collections.abc import Iterator, Callable\n\n\ndef f(\n    x: Callable[[], Iterator[int]]\n): ...\n"
    assert derive_sync.formatted(text, "x.py") == (
        "from collections.abc import Callable, Iterator\n\n\ndef f(x: Callable[[], Iterator[int]]): ...\n"
    )


def test_an_option_that_it_does_not_have_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["derive_sync.py", "--chek"])
    monkeypatch.setattr(Path, "write_text", lambda *_: pytest.fail("it wrote"))
    assert derive_sync.main() == 2


def test_a_text_of_the_table_that_no_source_has_is_noticed() -> None:
    assert len(stale({"x.py": "nothing of it"})) == len(derive_sync.TEXTS)


def test_every_difference_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "same.py").write_text("1\n")
    (tmp_path / "other.py").write_text("1\n")
    (tmp_path / "old.py").write_text("1\n")
    (tmp_path / "transport.py").write_text("by hand\n")
    assert faults({"same.py": "1\n", "other.py": "2\n", "new.py": "3\n"}, tmp_path) == [
        "other.py differs from what is derived",
        "new.py is missing",
        "old.py is derived from nothing",
    ]


def test_both_transports_have_the_same_names_and_those_that_are_used() -> None:
    used = {name for source in derive_sync.sources().values() for name in re.findall(r"\btransport\.(\w+)", source)}
    assert "Reader" in used
    awaiting, blocking = (defined((folder / "transport.py").read_text()) for folder in (SOURCE, TARGET))
    assert awaiting == blocking
    assert used <= awaiting


def defined(source: str) -> set[str]:
    """The public names that a module defines, in `if TYPE_CHECKING:` too."""
    module = ast.parse(source)
    inner = [part for node in module.body if isinstance(node, ast.If) for part in node.body]
    names: set[str] = set()
    for node in [*module.body, *inner]:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Assign():
                names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case _:
                pass
    return {name for name in names if not name.startswith("_")}
