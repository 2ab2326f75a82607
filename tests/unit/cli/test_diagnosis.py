"""What is said about a system as it stands, cause by cause."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from athanor.cli import diagnosis, doctor, machine
from athanor.cli.diagnosis import Finding, Fleet, Mark
from athanor.client import (
    Attempt,
    CodeVersion,
    DiscoveryError,
    ExperimentRecord,
    Failure,
    FailureKind,
    OrchestratorRecord,
    RunnerRecord,
    RunPolicy,
    RunRecord,
    RunState,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AGO = NOW - timedelta(minutes=3)
RUN = RunRecord("r", "i", "hello", RunState.PENDING, "{}", create_time=AGO)
RUNNER = RunnerRecord("1234", "lab", True, False, 2, (), ("hello",), "0.1.0", NOW)


def fleet(*runners: RunnerRecord, experiments: Any = (), broken: Any = ()) -> Fleet:
    return Fleet(runners, experiments, broken, NOW)


def said(finding: Finding) -> tuple[str, str, str]:
    return finding.mark.value, finding.text, finding.command


def test_no_runner_is_connected():
    assert said(diagnosis.run(RUN, fleet())) == ("fail", "waits: no runner is connected", "athanor up")
    away = replace(RUNNER, connected=False, last_seen_time=AGO)
    mark, text, _ = said(diagnosis.run(RUN, fleet(away)))
    assert (mark, text) == ("fail", "waits: no runner is connected; lab has 'hello', and was last seen 3m 0s ago")


def test_no_runner_has_the_experiment():
    other = replace(RUNNER, experiments=("other",))
    definition = ExperimentRecord("hello", "", "", code=CodeVersion(module="greetings:hello"))
    assert said(diagnosis.run(RUN, fleet(other, experiments=[definition]))) == (
        "fail",
        "waits: no connected runner has the experiment 'hello'. Start a runner with the folder, or the environment, "
        "that has it (greetings)",
        "athanor up --path FOLDER",
    )
    away = replace(RUNNER, connected=False, last_seen_time=AGO)
    assert "; lab has 'hello', and was last seen 3m 0s ago" in diagnosis.run(RUN, fleet(other, away)).text


def test_its_module_could_not_be_loaded():
    other = replace(RUNNER, experiments=("other",))
    definition = ExperimentRecord("hello", "", "", code=CodeVersion(module="greetings:hello"))
    broken = [DiscoveryError("1234", "sums", "no"), DiscoveryError("1234", "greetings", "Trace\nSyntaxError: bad\n")]
    assert said(diagnosis.run(RUN, fleet(other, experiments=[definition], broken=broken))) == (
        "fail",
        "waits: no connected runner has the experiment 'hello': its module greetings could not be loaded "
        "(SyntaxError: bad). Mend it, and the run starts",
        "athanor experiments list --json",
    )


def test_those_that_have_it_are_draining():
    assert said(diagnosis.run(RUN, fleet(replace(RUNNER, draining=True)))) == (
        "fail",
        "waits: the runner lab that has 'hello' takes no new runs (draining)",
        "athanor runners undrain 1234",
    )
    two = [replace(RUNNER, draining=True), replace(RUNNER, id="5", draining=True)]
    assert "all 2 runners that have 'hello' take no new runs (draining)" in diagnosis.run(RUN, fleet(*two)).text


def test_all_slots_are_taken():
    full = replace(RUNNER, run_ids=("a", "b"))
    drained = replace(RUNNER, id="5", draining=True)
    assert said(diagnosis.run(RUN, fleet(full, drained))) == (
        "warn",
        "waits for a slot: the runner lab with 'hello' executes 2 of 2 runs; it is taken in its turn",
        "athanor runs list --state running",
    )
    assert "all 2 runners with 'hello' execute 4 of 4 runs" in diagnosis.run(RUN, fleet(full, full)).text


def test_between_two_attempts():
    failure = Failure(FailureKind.EXCEPTION, "ValueError: no")
    attempts = (Attempt(1, "1234", failure=failure),)
    waiting = replace(RUN, attempts=attempts, next_attempt_time=NOW + timedelta(minutes=5))
    assert said(diagnosis.run(waiting, fleet(RUNNER))) == (
        "warn",
        f"an attempt failed with {failure.kind.value}: ValueError: no; the next one starts in 5m 0s, not before",
        "athanor runs show r",
    )
    over = replace(waiting, next_attempt_time=NOW - timedelta(minutes=5))
    assert "it declines the run" in diagnosis.run(over, fleet(RUNNER)).text


def test_there_is_room_and_it_is_not_taken():
    young = replace(RUN, create_time=NOW - timedelta(seconds=1))
    assert diagnosis.run(young, fleet(RUNNER)).mark is Mark.OK
    mark, text, command = said(diagnosis.run(RUN, fleet(RUNNER)))
    assert (mark, command) == ("warn", "athanor runners list")
    assert text.startswith("waits, although the runner lab with 'hello' has room: it declines the run")


def test_runs_that_do_not_wait():
    running = replace(RUN, state=RunState.RUNNING)
    assert said(diagnosis.run(running, fleet(RUNNER))) == ("ok", "is RUNNING", "athanor logs r -f")
    silent = replace(running, unreachable_since=AGO, policy=RunPolicy(lost_after=timedelta(hours=24)))
    assert said(diagnosis.run(silent, fleet())) == (
        "warn",
        "its runner has been silent for 3m 0s; it goes on there, and is given up after 1d 0h of silence",
        "athanor runners list",
    )
    assert said(diagnosis.run(replace(RUN, state=RunState.COMPLETED), fleet())) == ("ok", "has ended, COMPLETED", "")
    failed = replace(RUN, state=RunState.FAILED, failure=Failure(FailureKind.EXCEPTION, "ValueError: no"))
    assert said(diagnosis.run(failed, fleet())) == (
        "warn",
        f"has ended, FAILED: {FailureKind.EXCEPTION.value}: ValueError: no",
        "athanor runs show r",
    )


def test_runs_that_wait_for_the_same_are_one_line():
    alike = [("hello", diagnosis.run(replace(RUN, id=id), fleet())) for id in ("a", "b", "c")]
    other = ("other", diagnosis.run(replace(RUN, id="d", experiment="other"), fleet()))
    assert [one.subject for one in diagnosis.together([*alike, other])] == ["3 runs of hello", "run d"]


def test_runners():
    away = replace(RUNNER, connected=False, last_seen_time=AGO)
    assert [said(one) for one in diagnosis.runners(fleet(RUNNER))] == [
        ("ok", "connected, 0 of 2 slots taken, heard 0.0s ago", "")
    ]
    assert [said(one) for one in diagnosis.runners(fleet(replace(RUNNER, draining=True)))] == [
        (
            "warn",
            "connected, 0 of 2 slots taken, heard 0.0s ago; draining: it takes no new runs",
            "athanor runners undrain 1234",
        )
    ]
    assert [said(one) for one in diagnosis.runners(fleet(away))] == [
        ("ok", "is away, last seen 3m 0s ago, with no run", ""),
        ("fail", "none is connected: every run waits", "athanor up"),
    ]
    [held, _] = diagnosis.runners(fleet(replace(away, run_ids=("a",))))
    assert said(held) == (
        "warn",
        "is away, last seen 3m 0s ago, with 1 run: it goes on there. If the machine does not come back, give it up",
        "athanor runners forget 1234",
    )
    newer = replace(RUNNER, version="0.2.0")
    assert diagnosis.runners(fleet(RUNNER, newer))[-1].text == "they are of different versions: 0.1.0, 0.2.0"


def test_experiments():
    known = ExperimentRecord("hello", "", "", available_runner_count=1)
    gone = ExperimentRecord("gone", "", "")
    assert [said(one) for one in diagnosis.experiments(fleet(RUNNER, experiments=[known, gone]))] == [
        ("ok", "hello", "")
    ]
    [none] = diagnosis.experiments(fleet(RUNNER, experiments=[gone]))
    assert (none.mark, none.command) == (Mark.FAIL, "athanor up --path FOLDER")
    broken = [DiscoveryError("1", "bad", 'Traceback\n  File "/x/bad.py", line 7\n    no no\nSyntaxError: no')]
    [_, error] = diagnosis.experiments(fleet(RUNNER, experiments=[known], broken=broken))
    assert (error.subject, *said(error)) == (
        "module bad",
        "warn",
        "could not be loaded: SyntaxError: no (bad.py, line 7)",
        "athanor experiments list --json",
    )
    mixed = replace(known, other_versions=(CodeVersion("x"),))
    assert diagnosis.experiments(fleet(RUNNER, experiments=[mixed]))[1].subject == "experiment hello"


def test_the_orchestrator():
    assert said(diagnosis.orchestrator("h:1", 1.23, True)) == ("ok", "h:1 serves, and answers in 1.2 ms", "")
    told = diagnosis.orchestrator("h:1", 1.23, True, OrchestratorRecord("0.1.0", "SQLite")).text
    assert told == "h:1 serves, and answers in 1.2 ms: version 0.1.0, on SQLite"
    assert diagnosis.orchestrator("h:1", 1.23, False).mark is Mark.FAIL
    local = {"local": True, "taken": False}
    assert said(diagnosis.unreachable("no", "127.0.0.1:7400", **local)) == (
        "fail",
        "no. Runs that are under way go on without it",
        "athanor up",
    )
    assert diagnosis.unreachable("no", "127.0.0.1:9", **local).command == "athanor up --listen 127.0.0.1:9"
    assert "Something listens there" in diagnosis.unreachable("no", "127.0.0.1:9", local=True, taken=True).text
    assert diagnosis.unreachable("no", "h:9", local=False, taken=False).command == "athanor doctor --target HOST:PORT"


def test_one_of_several_orchestrators_is_away():
    well = diagnosis.orchestrator("h:1", 1.0, True)
    away = diagnosis.unreachable("no", "h:2", local=False, taken=False)
    assert [one.mark for one in diagnosis.orchestrators([well, away], True)] == [Mark.OK, Mark.WARN]
    assert [one.mark for one in diagnosis.orchestrators([away, away], False)] == [Mark.FAIL, Mark.FAIL]


@pytest.mark.parametrize(
    ("target", "local"),
    [
        ("127.0.0.1:7400", True),
        ("localhost:1", True),
        ("[::1]:1", True),
        ("db.example.org:7400", False),
        ("unix:/x", False),
    ],
)
def test_what_is_this_machine(target, local):
    assert doctor.is_local(target) is local


def test_this_machine(tmp_path):
    software, extras = machine.software()
    assert software.text.startswith("athanor ")
    assert "pandas" in extras.text
    assert machine.data_folder(tmp_path).mark is Mark.OK
    assert "(not made yet)" in machine.data_folder(tmp_path / "a" / "b").text
    assert machine.data_folder(tmp_path, free=1 << 29).mark is Mark.WARN
    assert machine.data_folder(tmp_path, free=1 << 20).mark is Mark.FAIL
    (tmp_path / "file").touch()
    assert said(machine.data_folder(tmp_path / "file")) == (
        "fail",
        f"{tmp_path / 'file'} is no folder that can be written to",
        "athanor up --data FOLDER",
    )


@pytest.mark.parametrize(
    ("runners", "mark", "text"),
    [
        ([], "fail", "no runner is connected"),
        ([replace(RUNNER, experiments=("other",))], "fail", "no connected runner has the experiment 'hello'. Start a"),
        ([replace(RUNNER, draining=True)], "fail", "the runner lab that has it takes no new runs (draining)"),
        ([replace(RUNNER, run_ids=("a", "b"))], "warn", "the runner lab that has it has no free slot: a run waits"),
        ([replace(RUNNER, run_ids=("a",))], "ok", "the runner lab has it, and 1 of 2 slots free"),
        ([RUNNER, replace(RUNNER, run_ids=("a", "b"))], "ok", "all 2 runners have it, and 2 of 4 slots free"),
    ],
)
def test_whether_a_run_of_an_experiment_would_be_executed(runners, mark, text):
    found = diagnosis.experiment("hello", fleet(*runners))
    assert (found.subject, found.mark.value) == ("experiment hello", mark)
    assert found.text.startswith(text)


def test_an_experiment_whose_module_is_broken_is_not_there_until_it_is_mended():
    definition = ExperimentRecord("hello", "", "", code=CodeVersion(module="greetings:hello"))
    error = DiscoveryError("1234", "greetings", "SyntaxError: no")
    there = fleet(replace(RUNNER, experiments=()), experiments=[definition], broken=[error])
    text = diagnosis.experiment("hello", there).text
    assert text.startswith("no connected runner has the experiment 'hello': its module greetings could not be loaded")
    assert text.endswith("Mend it, and it is there")


def test_a_default_folder_that_is_full_harms_no_orchestrator_that_may_be_elsewhere(tmp_path):
    full = machine.data_folder(tmp_path, free=1 << 20)
    assert full.subject == "default data folder"
    assert diagnosis.default_folder(full, False).mark is Mark.FAIL
    assert diagnosis.default_folder(full, True).mark is Mark.WARN
    assert diagnosis.default_folder(machine.data_folder(tmp_path), True).mark is Mark.OK


def test_the_extras_are_those_of_the_client():
    from athanor.client import _extras

    assert set(machine.EXTRAS) == set(_extras.EXTRAS.values())
    assert all(_extras.EXTRAS[library] == extra for extra, library in machine.EXTRAS.items())


def test_the_document_is_pinned():
    assert doctor._document(Finding(Mark.WARN, "run r", "waits")) == {
        "mark": "warn",
        "subject": "run r",
        "text": "waits",
        "command": None,
    }
