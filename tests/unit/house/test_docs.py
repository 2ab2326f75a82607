"""Every command, target, option, call and snippet of README and docs exists."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from athanor.cli.app import app
from athanor.v1 import experiment_service_pb2, instance_service_pb2, run_service_pb2, runner_service_pb2
from google.protobuf import descriptor_pool, json_format, message_factory

ROOT = Path(__file__).resolve().parents[3]
PAGES = [path for part in ("*.md", "docs/**/*.md", "experiments/**/*.md") for path in sorted(ROOT.glob(part))]
SERVICES = {"athanor-orchestrator": "athanor_orchestrator", "athanor-runner": "athanor_runner"}
CONTRACT = (experiment_service_pb2, instance_service_pb2, run_service_pb2, runner_service_pb2)
# Programs of others, which these pages use as they are.
EXTERNAL = (
    "grpcurl",
    "psql",
    "pg_dump",
    "sqlite3",
    "docker",
    "cd",
    "git",
    "export",
)  # fine as they are, or checked below


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """One command that a page tells the reader to type."""

    where: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.where} {' '.join(self.words[:3])}"


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text()
        for match in re.finditer(r"^( *)```(\w*)\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL):
            line = text[: match.start()].count("\n") + 1
            yield Block(str(page.relative_to(ROOT)), line, match[2], match[3])


def commands() -> Iterator[Command]:
    """What stands behind `$ ` in console blocks, continuation lines joined, pipes taken apart."""
    for block in blocks():
        if block.language != "console":
            continue
        for line in re.sub(r"\\\n\s*", "", block.text).splitlines():
            if line.lstrip().startswith("$ "):
                for part in split_shell(line.lstrip()[2:]):
                    yield Command(str(block), part)


def split_shell(line: str) -> Iterator[tuple[str, ...]]:
    """The simple commands of a line, without assignments before them and redirections behind."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    words: list[str] = []
    for word in [*lexer, "|"]:
        if set(word) <= set("|&;"):
            while words and re.match(r"[A-Z_]+=", words[0]):
                words.pop(0)
            if words:
                yield tuple(words)
            words = []
        else:
            words.append(word)


def test_the_pages_have_commands_and_snippets() -> None:
    """Else the tests below would pass by finding nothing."""
    assert len(list(commands())) > 20
    assert len([block for block in blocks() if block.language == "python"]) >= 3


def test_every_block_says_what_it_is() -> None:
    assert [str(block) for block in blocks() if not block.language] == []
    known = {"console", "python", "toml", "text", "mermaid", "sql", "json", "ini", "yaml"}
    assert {block.language for block in blocks()} <= known


@pytest.mark.parametrize("command", list(commands()), ids=str)
def test_every_command_exists(command: Command) -> None:
    program, *arguments = command.words
    program = program.removeprefix(".venv/bin/")
    match program:
        case "make":
            targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            assert [word for word in arguments if "=" not in word and word not in targets] == []
        case "athanor":
            check_athanor(arguments)
        case "athanor-runner" if arguments[:1] == ["spool"]:
            options = set(re.findall(r"--[a-z-]+", help_of(SERVICES[program], *arguments[:2])))
            assert {word.partition("=")[0] for word in arguments if word.startswith("--")} <= options
        case _ if program in SERVICES:
            options = set(re.findall(r"--[a-z-]+", help_of(SERVICES[program])))
            assert {word.partition("=")[0] for word in arguments if word.startswith("--")} <= options
        case "grpcurl":
            check_call(arguments[-1], arguments[arguments.index("-d") + 1] if "-d" in arguments else "{}")
        case "buf":
            assert arguments[0] == "curl"
            method = arguments[-1].partition("://")[2].partition("/")[2]
            check_call(method, arguments[arguments.index("-d") + 1] if "-d" in arguments else "{}")
        case "python" | "python3":
            assert arguments[0] == "-m"
            assert (ROOT / arguments[1].replace(".", "/")).with_suffix(".py").exists() or arguments[1] in (
                "venv",
                "pytest",
            )
        case "pip":
            assert arguments[0] == "install"
        case _:
            assert program in EXTERNAL or (ROOT / program).exists()


@pytest.mark.parametrize("block", [block for block in blocks() if block.language == "python"], ids=str)
def test_every_python_snippet_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec", flags=0x2000)  # top-level await is fine in a snippet


def test_the_page_for_authors_runs() -> None:
    """The experiment that it shows passes the test that it shows."""
    page = ROOT / "docs" / "how-to" / "writing-experiments.md"
    snippets = [block.text for block in blocks() if ROOT / block.page == page and block.language == "python"]
    names: dict[str, Any] = {"__name__": "shown_in_the_docs"}
    for snippet in snippets:
        exec(compile(snippet, str(page), "exec"), names)
    tests = [name for name in names if name.startswith("test_")]
    assert tests
    for name in tests:
        names[name]()


def test_the_ten_lines_of_the_readme_are_the_experiment_hello() -> None:
    shown = next(block.text for block in blocks() if block.page == "README.md" and block.language == "python")
    module = (ROOT / "experiments" / "athanor_experiments" / "hello.py").read_text()
    assert shown.split() == module.partition('"""\n')[2].split()


def test_every_path_that_is_named_exists() -> None:
    """A path in backquotes that begins with a folder of the repository."""
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()}
    missing = [
        f"{page.relative_to(ROOT)}: {name}"
        for page in PAGES
        for name in re.findall(r"`([\w.-]+/[\w./-]*)`", page.read_text())
        if name.split("/")[0] in folders and not (ROOT / name).exists()
    ]
    assert missing == []


def test_every_link_leads_somewhere() -> None:
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert broken == []


def check_athanor(arguments: list[str]) -> None:
    """Follow the words down the command tree; what is left are options that the command has and plain arguments."""
    command: Any = typer.main.get_command(app)
    words = iter(arguments)
    for word in words:
        if word.startswith("-"):
            take_option(command, word, words)
        elif hasattr(command, "commands"):
            assert word in command.commands, f"there is no command {word}"
            command = command.commands[word]
    assert not hasattr(command, "commands") or {"--help", "--version"} & set(arguments)


def take_option(command: Any, word: str, words: Iterator[str]) -> None:
    name, _, value = word.partition("=")
    if name == "--help":
        return
    options = {option: parameter for parameter in command.params for option in parameter.opts}
    assert name in options, f"{command.name} has no option {name}"
    if not value and not options[name].is_flag:
        next(words)


@cache
def help_of(module: str, *words: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", module, *words, "--help"], capture_output=True, text=True, check=True
    ).stdout


def check_call(method: str, body: str) -> None:
    """The method is of the contract, and the JSON is a request of it."""
    if method in ("list", "describe") or method.startswith("grpc.health."):
        return
    assert CONTRACT
    service, _, name = method.rpartition("/")
    descriptor = descriptor_pool.Default().FindServiceByName(service).FindMethodByName(name)
    request = message_factory.GetMessageClass(descriptor.input_type)()
    # A shell variable stands for what an earlier answer said.
    json_format.ParseDict(json.loads(re.sub(r"\$\w+", "1", body)), request)
