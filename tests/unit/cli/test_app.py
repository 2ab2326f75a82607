"""The tree of commands: which there are, and that each explains itself."""

import subprocess
import sys

from tests.support import pins
from tests.support.pins import call

# Those that show nothing of an orchestrator.
WITHOUT_DATA = {"", "up", "experiments", "instances", "runs", "runners"}
WITHOUT_ORCHESTRATOR = {"new"}


def test_every_command_prints_json_and_takes_a_target():
    commands = pins.commands()
    assert set(commands) > WITHOUT_DATA
    for command in set(commands) - WITHOUT_DATA:
        assert pins.takes_json(commands[command]), command
        asks = "--target" in call(*command.split(), "--help").out
        assert asks is (command not in WITHOUT_ORCHESTRATOR), command


def test_the_help_of_every_command_is_what_is_written_down():
    """After a change that was meant: `python -m tests.support.pins`, and look at what `git diff` says."""
    texts, kept = pins.help_texts(), pins.kept(pins.HELP)
    assert sorted(texts) == sorted(kept)
    for name, text in texts.items():
        assert text == kept[name], name


def test_whatever_names_something_that_exists_is_completed():
    named = {"EXPERIMENT", "INSTANCE", "RUN", "RUNNER"}
    missing, seen = list[str](), 0
    for command, found in pins.commands().items():
        for parameter in found.params:
            names = parameter.param_type_name == "argument" or named & {parameter.metavar, parameter.name.upper()}
            if not names or command == "new":  # that names what is not there yet
                continue
            seen += 1
            if parameter._custom_shell_complete is None:
                missing.append(f"{command} {parameter.name}")
    assert missing == []
    assert seen > 20


def test_the_exit_statuses_are_in_the_help():
    assert "3 the run was CANCELLED" in " ".join(call("--help").out.split())


def test_nothing_heavy_is_loaded_for_help():
    code = (
        "import sys; from athanor.cli.app import app\n"
        "heavy = ('grpc', 'google.protobuf', 'rich', 'asyncio', 'athanor.client', 'tenacity', 'pydantic')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
