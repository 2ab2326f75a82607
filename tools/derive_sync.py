"""Derive the blocking client from the asynchronous one, or compare it with what is committed.

    python tools/derive_sync.py            write client/athanor/client/_sync
    python tools/derive_sync.py --check    exit 1 and name the files that differ

The client is written once, in `_async`. What a substitution cannot say is in the two `transport.py`, which are written
by hand with the same names in both. So that no difference hides, the words of asyncio are refused in what comes out.
"""

import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "client/athanor/client/_async"
TARGET = ROOT / "client/athanor/client/_sync"
RUFF = Path(sys.executable).parent / "ruff"

# Written by hand on both sides.
BY_HAND = ("__init__.py", "transport.py")

# What is said otherwise to who blocks. Each has to be found somewhere: a text that has changed must be looked at again.
TEXTS = (
    ("It belongs to the event loop in which it is first used: close it there.", "Several threads may use it."),
    ("by several tasks at once", "by several threads at once"),
    ("Not for use by several tasks\n    at once.", "Not for use by several threads\n    at once."),
    ("Stopping to iterate, or cancelling,", "Stopping to iterate, or Ctrl-C,"),
    ("# Cancelling a read cancels the stream:", "# A read that was broken off is not gone on with:"),
    ('"""The asynchronous client."""', '"""The client."""'),
)

# In this order.
WORDS = (
    (r"\b([Aa]n) asynchronous (?=iterator)", r"\1 "),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bAwaitable, |, Awaitable\b", ""),  # in imports: those in annotations are gone by then
    (r"\b__a(iter|next|enter|exit)__\b", r"__\1__"),
    (r"\baclose\b", "close"),
    (r"\ba(iter|next)\(", r"\1("),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"\bAsync(?=[A-Z])", ""),
    (r"AsyncStub\b", "Stub"),
    (r"\b_async\b", "_sync"),
)

# Names of what only awaits, and words that are true only where somebody does.
REFUSED = re.compile(
    r"\b(\w*async(?!hronous)\w*|asynchronous\w*|await\w*|aio|aclosing|a(?:iter|next|send|throw)|__a\w+__|Awaitable"
    r"|coroutines?|tasks?|event loop)\b",
    re.IGNORECASE,
)


class Unclear(Exception):
    """A source that cannot be derived from."""


def derive(source: str, name: str) -> str:
    """Return the blocking twin of a module, not formatted yet. Raises Unclear when it has words that no rule knows."""
    text = _without_awaitables(source)
    for found, instead in TEXTS:
        text = text.replace(found, instead)
    for pattern, replacement in WORDS:
        text = re.sub(pattern, replacement, text)
    for number, line in enumerate(text.splitlines(), 1):
        if word := REFUSED.search(line):
            raise Unclear(f"{name}:{number}: no rule says what becomes of {word[0]!r}: {line.strip()}")
    return f"# Derived from _async/{name} by tools/derive_sync.py: change that one.\n\n{text}"


def stale(sources: dict[str, str]) -> list[str]:
    """Return the texts of the table that are in no source."""
    return [found for found, _ in TEXTS if not any(found in source for source in sources.values())]


def formatted(text: str, name: str) -> str:
    """Return the text as the house formats it, its imports in their order."""
    where = str(TARGET / name)
    for arguments in (("check", "--fix", "--quiet", "--select", "I"), ("format", "--quiet")):
        done = subprocess.run(
            [RUFF, *arguments, "--stdin-filename", where, "-"], input=text, capture_output=True, text=True, cwd=ROOT
        )
        if done.returncode:
            raise Unclear(f"{name}: ruff {arguments[0]}: {done.stderr or done.stdout}")
        text = done.stdout
    return text


def sources() -> dict[str, str]:
    """Return the modules to derive from, by name."""
    return {path.name: path.read_text() for path in sorted(SOURCE.glob("*.py")) if path.name not in BY_HAND}


def faults(fresh: dict[str, str], folder: Path) -> list[str]:
    """Return what in a folder is not as it was derived."""
    there = {path.name for path in folder.glob("*.py")} - set(BY_HAND)
    differ = [name for name, text in fresh.items() if name in there and (folder / name).read_text() != text]
    return [
        *(f"{name} differs from what is derived" for name in differ),
        *(f"{name} is missing" for name in sorted(fresh.keys() - there)),
        *(f"{name} is derived from nothing" for name in sorted(there - fresh.keys())),
    ]


def main() -> int:
    """Write or compare, by the command line; return the exit status."""
    if sys.argv[1:] not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    found = sources()
    try:
        fresh = {name: formatted(derive(source, name), name) for name, source in found.items()}
    except Unclear as fault:
        print(fault, file=sys.stderr)
        return 1
    if old := stale(found):
        print(f"the table of texts has what no source says: {old}", file=sys.stderr)
        return 1
    if "--check" in sys.argv[1:]:
        wrong = faults(fresh, TARGET)
        for fault in wrong:
            print(f"{TARGET.relative_to(ROOT)}: {fault}: python tools/derive_sync.py", file=sys.stderr)
        return 1 if wrong else 0
    for path in TARGET.glob("*.py"):
        if path.name not in (*BY_HAND, *fresh):
            path.unlink()
    for name, text in fresh.items():
        (TARGET / name).write_text(text)
    return 0


def _without_awaitables(source: str) -> str:
    """Return the source with `X` for each `Awaitable[X]`."""
    lines = source.splitlines(keepends=True)
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    cuts: list[tuple[int, int, int]] = []  # line, first and last column of what goes
    for index, token in enumerate(tokens[:-1]):
        if token.string == "Awaitable" and tokens[index + 1].string == "[":
            depth = 0
            for end in tokens[index + 1 :]:
                depth += (end.string == "[") - (end.string == "]")
                if not depth:
                    break
            opening = tokens[index + 1]
            cuts += [(token.start[0], token.start[1], opening.end[1]), (end.start[0], end.start[1], end.end[1])]
    for line, begin, end in sorted(cuts, reverse=True):
        text = lines[line - 1]
        lines[line - 1] = text[:begin] + text[end:]
    return "".join(lines)


if __name__ == "__main__":
    sys.exit(main())
