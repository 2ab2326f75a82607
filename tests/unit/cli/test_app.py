"""The tree of commands: which there are, and that each explains itself."""

import subprocess
import sys

import pytest
import typer

COMMANDS = [
    "",
    "up",
    "run",
    "logs",
    "results",
    "compare",
    "export",
    "new",
    "doctor",
    "experiments",
    "experiments list",
    "experiments show",
    "instances",
    "instances create",
    "instances list",
    "instances show",
    "instances update",
    "instances delete",
    "instances diff",
    "runs",
    "runs start",
    "runs list",
    "runs show",
    "runs verify",
    "runs watch",
    "runs cancel",
    "runs delete",
    "runners",
    "runners list",
    "runners drain",
    "runners undrain",
    "runners forget",
]
WITHOUT_DATA = {"", "up", "experiments", "instances", "runs", "runners"}
WITHOUT_ORCHESTRATOR = {"new"}


def call(*arguments: str, capsys) -> tuple[int, str]:
    from athanor.cli.app import app

    with pytest.raises(SystemExit) as ended:
        app(args=list(arguments), prog_name="athanor")
    return int(ended.value.code or 0), capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    status, text = call(*command.split(), "--help", capsys=capsys)
    assert status == 0
    assert f"Usage: athanor {command}".rstrip() in text
    if command not in WITHOUT_DATA:
        assert "--json" in text
        assert ("--target" in text) is (command not in WITHOUT_ORCHESTRATOR)


def test_there_are_no_other_commands():
    from athanor.cli.app import app

    def walk(command, path: str) -> list[str]:
        children = getattr(command, "commands", {})
        return [path, *(found for name, child in children.items() for found in walk(child, f"{path} {name}".strip()))]

    assert sorted(walk(typer.main.get_command(app), "")) == sorted(COMMANDS)


def test_the_exit_statuses_are_in_the_help(capsys):
    assert "3 the run was CANCELLED" in " ".join(call("--help", capsys=capsys)[1].split())


def test_nothing_heavy_is_loaded_for_help():
    code = (
        "import sys; from athanor.cli.app import app\n"
        "heavy = ('grpc', 'google.protobuf', 'rich', 'asyncio', 'athanor.client', 'tenacity', 'pydantic')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
