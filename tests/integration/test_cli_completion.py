"""What Tab offers, by the protocol of the shells, and in a real bash."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from athanor.v1 import runner_pb2

from tests.support.fake_thread import FakeThread
from tests.support.system import BIN, clean_environment

RUN = "019a0000-0000-7000-8000-000000000001"
OTHER = "019b0000-0000-7000-8000-000000000002"
SCHEMA = (
    '{"type": "object", "properties": {"times": {"type": "integer"}, "to": {"type": "object", "properties": '
    '{"whom": {"type": "string", "description": "A name."}}}}}'
)


@pytest.fixture(scope="module")
def server() -> Iterator[FakeThread]:
    with FakeThread() as server:
        server.do(server.fake.add_experiment, "hello", title="Says hello", configuration_schema_json=SCHEMA)
        server.do(server.fake.add_experiment, "digits")
        server.do(server.fake.add_run, "hello", RUN)
        server.do(server.fake.add_run, "hello", OTHER)
        runner = runner_pb2.Runner(id="4d75f70f-9807-467f-b0ef-d8282568747e", display_name="box", connected=True)
        server.do(server.fake.runners.__setitem__, runner.id, runner)
        yield server


def offered(target: str, line: str, **more: str) -> list[str]:
    """What bash is told for a line whose last word, perhaps empty, is being completed."""
    words = line.split(" ")
    env = clean_environment() | {
        "ATHANOR_TARGET": target,
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "_ATHANOR_COMPLETE": "complete_bash",
        **more,
    }
    done = subprocess.run([str(BIN / "athanor")], env=env, capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("athanor ru", ["run", "runs", "runners"]),
        ("athanor run ", ["digits", "hello"]),
        ("athanor run h", ["hello"]),
        ("athanor experiments show d", ["digits"]),
        ("athanor logs 019a", [RUN]),
        ("athanor runs cancel ", ["last", OTHER, RUN]),
        ("athanor logs la", ["last"]),
        ("athanor runs delete ", [OTHER, RUN]),
        ("athanor runs list --experiment h", ["hello"]),
        ("athanor runners drain 4d", ["4d75f70f-9807-467f-b0ef-d8282568747e"]),
        ("athanor run hello --set t", ["times=", "to=", "to.whom="]),
        ("athanor export 019a", [RUN]),
        (f"athanor export {RUN} 019b", [OTHER]),
        ("athanor doctor 019b", [OTHER]),
        ("athanor doctor ", ["last", OTHER, RUN, "digits", "hello"]),
        (f"athanor compare {RUN} 019b", [OTHER]),
        ("athanor compare --experiment d", ["digits"]),
        ("athanor logs --level w", ["warn"]),
        ("athanor logs 0", [OTHER, RUN]),
        ("athanor logs nothing", []),
    ],
)
def test_what_tab_offers(server, line, words):
    assert offered(server.target, line) == words


def test_instances_are_offered_by_their_ids(server):
    env = clean_environment() | {"ATHANOR_TARGET": server.target}
    made = subprocess.run(
        [str(BIN / "athanor"), "instances", "create", "hello"], env=env, capture_output=True, text=True, timeout=30
    )
    assert made.returncode == 0
    of_instances = list(server.fake.instances)
    assert offered(server.target, "athanor runs start ") == of_instances
    assert offered(server.target, "athanor instances diff ") == of_instances
    assert offered(server.target, f"athanor instances diff {of_instances[0]} ") == of_instances
    assert offered(server.target, "athanor compare ") == ["last", OTHER, RUN, *of_instances]


def test_the_target_that_is_in_the_line_is_asked(server):
    assert offered("127.0.0.1:1", f"athanor run --target {server.target} h") == ["hello"]
    assert offered("127.0.0.1:1", f"athanor --target {server.target} run h") == ["hello"]


@pytest.mark.parametrize("target", ["127.0.0.1:1", "no address", "192.0.2.1:7400"])
def test_an_orchestrator_that_is_away_is_no_error_and_does_not_hold_the_shell_up(target):
    begin = time.monotonic()
    assert offered(target, "athanor logs ") == []
    assert time.monotonic() - begin < 5


def test_the_other_shells_are_told_what_it_is(server):
    env = clean_environment() | {"ATHANOR_TARGET": server.target, "_TYPER_COMPLETE_ARGS": "athanor run h"}
    zsh = subprocess.run(
        [str(BIN / "athanor")],
        env=env | {"_ATHANOR_COMPLETE": "complete_zsh"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert '"hello":"Says hello"' in zsh.stdout
    fish = subprocess.run(
        [str(BIN / "athanor")],
        env=env | {"_ATHANOR_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert fish.stdout == "hello\tSays hello\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell):
    env = clean_environment() | {"_ATHANOR_COMPLETE": f"source_{shell}"}
    done = subprocess.run([str(BIN / "athanor")], env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0
    assert f"complete_{shell}" in done.stdout


def test_a_real_bash_completes_once_it_is_installed(server, tmp_path: Path):
    env = clean_environment() | {"HOME": str(tmp_path), "ATHANOR_TARGET": server.target, "PATH": f"{BIN}:/usr/bin:/bin"}
    # Typer asks which shell it runs in by looking at its parents.
    installed = subprocess.run(
        ["bash", "--norc", "-c", "athanor --install-completion; true"],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "bash completion installed" in installed.stdout, installed
    script = (
        "source ~/.bashrc; COMP_WORDS=(athanor logs 019a); COMP_CWORD=2; "
        '_athanor_completion athanor 019a logs; printf "%s\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "--norc", "-c", script], env=env, capture_output=True, text=True, timeout=30)
    assert done.stdout.split() == [RUN], done
