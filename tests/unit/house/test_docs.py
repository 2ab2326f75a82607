"""Every command, target, option, call and snippet of README and docs exists.

That they also do what the pages say is tests/acceptance/test_pages.py.
"""

import ast
import json
import re
import subprocess
import sys
import tomllib
from functools import cache

import pytest
import yaml
from athanor.v1 import (
    experiment_service_pb2,
    instance_service_pb2,
    orchestrator_service_pb2,
    run_service_pb2,
    runner_service_pb2,
)
from google.protobuf import descriptor_pool, json_format, message_factory

from tests.support.commandline import check_athanor
from tests.support.pages import PAGES, ROOT, Block, Command, blocks, commands
from tools import demo

DEFINITIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
SERVICES = {"athanor-orchestrator": "athanor_orchestrator", "athanor-runner": "athanor_runner"}
CONTRACT = (
    experiment_service_pb2,
    instance_service_pb2,
    orchestrator_service_pb2,
    run_service_pb2,
    runner_service_pb2,
)
# Programs of others, which these pages use as they are.
EXTERNAL = {"docker", "ssh", "cd", "cp", "export", "head", "source"}


def test_the_pages_have_commands_and_snippets() -> None:
    """Else the tests below would pass by finding nothing."""
    assert len(list(commands())) > 20
    assert len([block for block in blocks() if block.language == "python"]) >= 3


def test_every_block_says_what_it_is() -> None:
    assert [str(block) for block in blocks() if not block.language] == []
    known = {"console", "python", "toml", "text", "sql", "json", "yaml", "bash"}
    assert {block.language for block in blocks()} <= known


def test_every_script_is_a_file_that_its_page_runs() -> None:
    typed = {(command.where.partition(":")[0], *command.words) for command in commands()}
    scripts = [block for block in blocks() if block.language == "bash"]
    assert scripts
    assert [str(block) for block in scripts if (block.page, "bash", block.title) not in typed] == []


def test_what_is_not_run_says_why() -> None:
    """A reason of some words; a test that is named exists."""
    for block in blocks():
        for said in (block.not_run, block.called_by):
            if said is not None:
                assert len(said) >= 10, f"{block}: {said}"
                assert [name for name in re.findall(r"tests/[\w/.]+\.py", said) if not (ROOT / name).exists()] == []
        if block.called_by is not None:
            assert ROOT / block.called_by in (ROOT / "tests").rglob("test_*.py"), f"{block}: {block.called_by}"


def test_every_snippet_does_something() -> None:
    """It is a file, does something, has a test on its page, or says which test calls what it defines."""
    idle = [
        str(block)
        for block in blocks()
        if block.language == "python"
        and not (block.title or block.not_run or block.called_by)
        and all(isinstance(part, DEFINITIONS) for part in ast.parse(block.text).body)
        and not any("def test_" in other.text for other in blocks() if other.page == block.page)
    ]
    assert idle == []


def test_every_document_can_be_read() -> None:
    for block in blocks():
        match block.language:
            case "json":
                json.loads(block.text)
            case "toml":
                tomllib.loads(block.text)
            case "yaml":
                yaml.safe_load(block.text)
            case _:
                pass


@pytest.mark.parametrize("command", list(commands()), ids=str)
def test_every_command_exists(command: Command) -> None:
    program, *arguments = command.words
    program = re.sub(r"^.*\.venv/bin/", "", program)
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
        case "python" | "python3" if arguments[0].endswith(".py"):
            page = command.where.rpartition(":")[0]
            assert arguments[0] in [block.title for block in blocks() if block.page == page]
        case "python" | "python3":
            assert arguments[0] in ("-m", "-c")
            assert (
                arguments[0] == "-c"
                or (ROOT / arguments[1].replace(".", "/")).with_suffix(".py").exists()
                or arguments[1]
                in (
                    "venv",
                    "pytest",
                )
            )
        case "pip":
            assert arguments[0] == "install"
        case "bash":
            assert arguments[0] in {block.title for block in blocks()}
        case _:
            assert program in EXTERNAL or (ROOT / program).exists()


@pytest.mark.parametrize("block", [block for block in blocks() if block.language == "python"], ids=str)
def test_every_python_snippet_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec", flags=0x2000)  # top-level await is fine in a snippet


def test_the_ten_lines_of_the_readme_are_the_experiment_hello() -> None:
    shown = next(block.text for block in blocks() if block.page == "README.md" and block.language == "python")
    module = (ROOT / "experiments" / "athanor_experiments" / "hello.py").read_text()
    assert shown.split() == module.partition('"""\n')[2].split()


def test_the_demo_ends_with_what_the_readme_goes_on_with() -> None:
    shown = [block.text for block in blocks() if block.page == "README.md" and block.language == "console"]
    assert shown[0] == "$ make demo\n"
    assert shown[1] == "".join(f"$ {command}\n" for command in demo.NEXT)


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
