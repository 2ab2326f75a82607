"""What `athanor up` starts and says; the processes themselves are in tests/integration."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from athanor.cli import discovery, supervise, system
from athanor.client import CodeVersion, ExperimentRecord

SETTINGS = system.Settings("127.0.0.1:7400", Path("/data"))


def test_the_command_lines_of_the_services():
    full = system.Settings(
        "0.0.0.0:1", Path("/d"), (Path("/a"), Path("/b")), 3, Path("/py"), allow_unauthenticated=True
    )
    assert system.orchestrator_arguments(SETTINGS, "127.0.0.1:7400") == [
        "--listen",
        "127.0.0.1:7400",
        "--data",
        "/data",
    ]
    assert "--allow-unauthenticated" in system.orchestrator_arguments(full, "0.0.0.0:1")
    assert system.runner_arguments(SETTINGS, "t:1") == ["--target", "t:1", "--state", "/data/runner"]
    assert system.runner_arguments(full, "t:1") == [
        "--target", "t:1", "--state", "/d/runner", "--path", "/a", "--path", "/b", "--slots", "3", "--python", "/py",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "settings",
    [
        SETTINGS,
        system.Settings("[::]:1", Path("/d d"), (Path("/a"), Path("/b")), 3, Path("/py"), True, debug=True),
    ],
)
def test_what_it_was_told_survives_becoming_another_process(settings: system.Settings):
    assert system.Settings.from_json(settings.to_json()) == settings


def test_an_address_to_listen_on_is_not_always_one_to_call():
    assert system.reachable("0.0.0.0:7400") == "127.0.0.1:7400"
    assert system.reachable("[::]:7400") == "[::1]:7400"
    assert system.reachable("lab:1") == "lab:1"


@pytest.mark.parametrize("listen", ["7400", "lab:", ":7400", "lab:x", "lab:70000"])
def test_an_address_of_another_form_is_refused(listen):
    assert "HOST:PORT" in (system.taken(listen) or "")


def test_the_announcement_says_what_to_do_next():
    text = "\n".join(system.announcement("127.0.0.1:7400", Path("/d"), ["digits", "hello"], [], []))
    assert text.startswith("Athanor is ready at 127.0.0.1:7400")
    assert "digits, hello" in text
    assert "athanor run hello" in text
    assert "ATHANOR_TARGET" not in text


def test_the_announcement_proposes_an_experiment_of_the_person_s_own():
    text = "\n".join(system.announcement("127.0.0.1:7400", Path("/d"), ["mine", "hello"], [], [Path("/mine")]))
    assert "athanor run mine" in text
    assert "athanor run hello" not in text


def test_the_announcement_at_another_address_or_with_nothing_found():
    text = "\n".join(system.announcement("0.0.0.0:9", Path("/d"), [], ["broken.py"], [Path("/mine")]))
    assert "export ATHANOR_TARGET=127.0.0.1:9" in text
    assert "none found in /mine" in text
    assert "broken.py" in text
    assert "--path FOLDER" in "\n".join(system.announcement("0.0.0.0:9", Path("/d"), [], [], []))


async def test_the_announcement_waits_until_everything_has_been_reported(monkeypatch):
    reports = iter([[], ["noisy"], ["noisy", "sweep"], ["hello", "noisy", "sweep"]])
    names = list[str]()

    class Experiments:
        def list(self):
            return self

        async def all(self):
            names[:] = next(reports, names)
            from_folder = CodeVersion()
            installed = CodeVersion(distribution="athanor-experiments==0.1.0")
            return [
                ExperimentRecord(
                    name, "", "", code=from_folder if name == "sweep" else installed, available_runner_count=1
                )
                for name in names
            ]

        async def discovery_errors(self):
            return [SimpleNamespace(module="broken")] if "hello" in names else []

    class Client:
        def __init__(self, target: str) -> None:
            self.experiments = Experiments()

        async def __aenter__(self):
            return self

        async def __aexit__(self, *ending: object) -> None:
            return None

    monkeypatch.setattr(discovery, "AsyncClient", Client)
    assert await discovery.discovered("t:1") == (["sweep", "hello", "noisy"], ["broken"]), "a person's own come first"


def test_the_data_folder(monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", "/x")
    assert system.default_data_folder() == Path("/x/athanor")
    monkeypatch.delenv("XDG_DATA_HOME")
    assert system.default_data_folder() == Path.home() / ".local/share/athanor"


def test_restarts_wait_longer_and_longer():
    assert [supervise.restart_delay(n) for n in (1, 2, 3, 7, 100)] == [0.5, 1.0, 2.0, 30.0, 30.0]


def test_exit_statuses_in_words():
    assert supervise.ended(3) == "exit status 3"
    assert supervise.ended(-9) == "killed by SIGKILL"
    assert supervise.ended(-99) == "killed by signal 99"


@pytest.mark.parametrize(
    ("line", "style"),
    [
        ("2026-11-24 15:23:00,862 INFO athanor_orchestrator: up", "2"),
        ("2026-11-24 15:23:00,862 WARNING athanor_runner: full", "33"),
        ("2026-11-24 15:23:00,862 ERROR athanor_runner: broken", "31"),
        ("something printed", "2"),
    ],
)
def test_on_a_terminal_what_a_service_says_as_usual_steps_back(monkeypatch, capsys, line, style):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    system._say("runner", line)
    assert capsys.readouterr().err == f"\x1b[{style}mrunner       | {line}\x1b[0m\n"
    monkeypatch.setenv("NO_COLOR", "1")
    system._say("runner", line)
    assert capsys.readouterr().err == f"runner       | {line}\n"
