"""Every example in a docstring of the client does what it says, against a real system: see tests/support/reader.py."""

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pages import ROOT, Block
from tests.support.reader import Reader

CLIENT = ROOT / "client" / "athanor" / "client"
SOURCES = [CLIENT.parent / "__init__.py", *sorted(CLIENT.rglob("*.py"))]

TRAIN = """\
from athanor.experiment import RunContext, experiment
from pydantic import BaseModel


class Config(BaseModel):
    lr: float = 0.1


@experiment(name="train")
def train(ctx: RunContext[Config]) -> None:
    ctx.log("warn", "it learns")
    ctx.result("loss", ctx.config.lr)
"""

# What an example takes for granted: a client, and a run that has found something.
BEFORE = """\
import asyncio
from contextlib import suppress
import athanor
from athanor.client import *
from athanor.client.export import open_writer
client = athanor.connect()
run = client.instances.create("train").start().wait(60)
assert run.state == "COMPLETED"
"""
BEFORE_AWAITING = """\
client = athanor.connect_async()
run = await client.runs.get(run.id)
"""
ENDLESS = CLIENT / "changes.py"  # it follows all runs, for ever
LOOK_S = 3


def examples(source: Path) -> Iterator[Block]:
    """Yield what stands indented in docstrings of a file and is Python."""
    for node in ast.walk(ast.parse(source.read_text())):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for match in re.finditer(r"(?m)(?:^    .*\n?|^\n(?=    ))+", ast.get_docstring(node) or ""):
            text = textwrap.dedent(match[0]).strip("\n")
            line = 1 if isinstance(node, ast.Module) else node.lineno
            if is_code(text):
                yield Block(str(source.relative_to(ROOT)), line, "python", f"{text}\n")


def is_code(text: str) -> bool:
    """Whether it is Python that does something: a list of names with what they mean is not."""
    try:
        body = ast.parse(text).body
    except SyntaxError:
        return False
    return any(not isinstance(one, ast.AnnAssign) for one in body)


def complete(block: Block, source: Path) -> Block:
    """Give an example what it takes for granted."""
    text = block.text
    awaits = re.search(r"\b(await|async)\b", text) is not None
    if source == ENDLESS:
        text = f"with suppress(TimeoutError):\n    async with asyncio.timeout({LOOK_S}):\n" + textwrap.indent(
            text, " " * 8
        )
    before = BEFORE + (BEFORE_AWAITING if awaits else "")
    after = "await client.aclose()" if awaits else "client.close()"
    return Block(block.page, block.line, "python", f"{before}{text}{after}\n")


def test_there_are_examples() -> None:
    """Else the test below would pass by finding nothing."""
    assert len([one for source in SOURCES for one in examples(source)]) >= 15


@pytest.mark.timeout(600)
def test_the_examples_run(tmp_path: Path) -> None:
    with Reader(tmp_path, "") as reader:
        (reader.place / "my-experiments" / "train.py").write_text(TRAIN)
        for source in SOURCES:
            reader.follow([complete(one, source) for one in examples(source)])
