"""The pages that people read, taken apart: fenced blocks, the commands in them, and what is said of testing them.

Every block that a reader would type or save is executed by tests/acceptance/test_pages.py, unless a comment right
before it says why not:

    <!-- not run: needs a Docker engine -->
    <!-- called by: tests/integration/test_client_batches.py -->      it defines functions only; that test calls them
"""

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [path for part in ("*.md", "docs/**/*.md", "experiments/**/*.md") for path in sorted(ROOT.glob(part))]

_BLOCK = re.compile(
    r"^(?P<indent> *)(?:<!-- (?P<kind>not run|called by): (?P<said>[^>]+) -->\n\s*)?"
    r'```(?P<language>\w*)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^ *```$',
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: str
    line: int
    language: str
    text: str
    title: str | None = None  # the file that it stands for
    not_run: str | None = None  # why it is not executed
    called_by: str | None = None  # the test that calls what it defines

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """One simple command that a page tells the reader to type."""

    where: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.where} {' '.join(self.words[:3])}"


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of one page, in order."""
    return blocks_in(page.read_text(), str(page.relative_to(ROOT)))


def blocks_in(text: str, page: str) -> list[Block]:
    """Return the blocks of a text, which is that of the page."""
    return [
        Block(
            page=page,
            line=text[: match.start("language")].count("\n") + 1,
            language=match["language"],
            text=textwrap.dedent(match["text"]),
            title=match["title"],
            not_run=match["said"] if match["kind"] == "not run" else None,
            called_by=match["said"] if match["kind"] == "called by" else None,
        )
        for match in _BLOCK.finditer(text)
    ]


def blocks() -> Iterator[Block]:
    """Yield the blocks of all pages."""
    for page in PAGES:
        yield from blocks_of(page)


@dataclass(frozen=True)
class Line:
    """What a reader types after a prompt, and what the page shows below it; `...` stands for anything there."""

    text: str
    shown: tuple[str, ...]


def typed(block: Block) -> list[Line]:
    """Return the lines behind `$ ` of a console block, continuation lines joined."""
    lines: list[Line] = []
    for line in re.sub(r"\\\n\s*", "", block.text).splitlines():
        if line.startswith("$ "):
            lines.append(Line(line[2:], ()))
        elif line.strip() and lines:
            lines[-1] = Line(lines[-1].text, (*lines[-1].shown, line))
    return lines


def commands() -> Iterator[Command]:
    """Yield what stands behind `$ ` in console blocks, pipes taken apart."""
    for block in blocks():
        if block.language == "console":
            for line in typed(block):
                for part in split_shell(line.text):
                    yield Command(str(block), part)


def split_shell(line: str) -> Iterator[tuple[str, ...]]:
    """Yield the simple commands of a line, without assignments before them and redirections behind."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    words: list[str] = []
    redirected = False
    for word in [*lexer, "|"]:
        if set(word) <= set("|&;"):
            while words and (words[0] == "do" or re.match(r"[A-Z_]+=", words[0])):
                words.pop(0)
            if words and words[0] not in ("for", "done"):
                yield tuple(words)
            words, redirected = [], False
        elif set(word) <= set("<>"):
            redirected = True
        elif redirected:
            redirected = False
        else:
            words.append(word)
