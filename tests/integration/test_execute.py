"""The run's process, for real: a folder made by hand, the process started, the spool and the intent read."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from athanor.experiment.assignment import Checkpoint, Code
from athanor.experiment.configuration import schema_digest
from athanor.experiment.intent import Ended, boot_id
from athanor.experiment.spool import scan
from athanor.v1 import run_event_pb2

from tests.support.attempts import TIMEOUT, Attempt

WAYS = Path(__file__).parent / "experiments_of_execute" / "ways.py"

Begin = Callable[..., Attempt]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    made: list[Attempt] = []

    def begin(attribute: str, module: Path = WAYS, **changes: Any) -> Attempt:
        made.append(Attempt(tmp_path / "attempts" / f"lease-{len(made)}", module, attribute, **changes))
        return made[-1]

    yield begin
    for attempt in made:
        attempt.close()


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_everything_is_recorded_with_its_source(begin: Begin) -> None:
    attempt = begin("returns", configuration_json='{"n": 5}', timeout_s=1.5)

    assert attempt.run() == 0

    events = attempt.events()
    assert [event.sequence for event in events] == list(range(2, 2 + len(events)))
    assert {event.attempt for event in events} == {1}
    started = events[0].attempt_started
    assert (started.runner_id, started.configuration_json) == ("runner", '{"n":5,"drawn":"drawn"}')
    assert len(started.code.digest) == 64
    logs = attempt.logs()
    assert logs[:2] == [
        ("stdout", "printed while it was imported"),
        ("stderr", "and straight to the descriptor"),
    ]
    assert [line for line in logs if line[0] == ""] == [("", "own")]
    in_process = [line for line in logs[2:] if line[1] not in {"by descriptor", "by a subprocess"}]
    assert in_process[:3] == [("", "own"), ("stdout", "printed"), ("library", "logged")]
    assert in_process[3][0] == "py.warnings"
    assert "UserWarning: warned" in in_process[3][1]
    assert in_process[4:] == [("stderr", "an error"), ("stdout", "no newline")]
    results = {event.result.key: json.loads(event.result.value_json) for event in events if event.HasField("result")}
    assert results == {"config": {"n": 5, "drawn": "drawn"}, "about": ["run", 1, "an instance", 7, 1.5, None]}
    slot = attempt.page.read_progress()
    assert slot is not None
    assert slot[1:] == (2, 5, "half way")

    attempt.settle()
    assert sorted(attempt.messages("stdout")) == sorted(
        ["printed while it was imported", "printed", "by descriptor", "by a subprocess", "no newline"]
    )


@pytest.mark.parametrize(
    ("experiment", "ended", "message", "status"),
    [
        ("returns", Ended.RETURNED, "", 0),
        ("awaits", Ended.RETURNED, "", 0),
        ("completes", Ended.COMPLETED, "", 0),
        ("fails", Ended.FAILED, "no good", 1),
        ("raises", Ended.RAISED, "ValueError: wrong", 1),
        ("completes_then_raises", Ended.RAISED, "RuntimeError: while leaving", 1),
        ("exits", Ended.RAISED, "SystemExit: 4", 1),
        ("eats_memory", Ended.RAISED, "MemoryError", 1),
        ("returns_from_a_forked_child", Ended.RETURNED, "", 0),
    ],
)
def test_how_it_ended_is_in_the_intent(begin: Begin, experiment: str, ended: Ended, message: str, status: int) -> None:
    attempt = begin(experiment)

    assert attempt.run() == status

    intent = attempt.intent
    assert intent is not None
    assert (intent.ended, intent.message) == (ended, message)
    assert intent.boot_id == boot_id()
    assert intent.last_sequence == scan(attempt.folder / "spool").last_sequence
    assert intent.out_of_memory == (experiment == "eats_memory")
    assert not intent.cancellation_seen
    assert (f"in {experiment}" in intent.detail) == (ended is Ended.RAISED)


@pytest.mark.parametrize(("experiment", "status"), [("exits_hard", 3), ("kills_itself", -9), ("segfaults", -11)])
def test_a_process_that_ends_without_a_word_leaves_what_it_recorded_and_no_intent(
    begin: Begin, experiment: str, status: int
) -> None:
    attempt = begin(experiment)

    assert attempt.run() == status

    assert attempt.intent is None
    assert attempt.messages("") == ["last"]
    attempt.settle()
    if experiment == "exits_hard":
        assert attempt.logs()[-1] == ("stdout", "last words")
    if experiment == "segfaults":
        assert "Fatal Python error: Segmentation fault" in attempt.messages("stderr")


@pytest.mark.parametrize(
    ("module", "experiment", "changes", "message", "detail"),
    [
        ("breaks.py", "any", {}, "breaks:any cannot be loaded: LookupError: broken on purpose", "in <module>"),
        (
            "not_there.py",
            "any",
            {},
            "not_there:any cannot be loaded: ModuleNotFoundError: No module named 'not",
            "Error",
        ),
        ("ways.py", "nothing", {}, "ways:nothing cannot be loaded: AttributeError: module 'ways' has no", "Error"),
        ("ways.py", "square", {}, "ways:square is no experiment", ""),
        ("ways.py", "returns", {"experiment": "other"}, "ways:returns is the experiment 'returns', not 'other'", ""),
    ],
)
def test_what_cannot_be_loaded_is_not_started(
    begin: Begin, module: str, experiment: str, changes: dict[str, Any], message: str, detail: str
) -> None:
    attempt = begin(experiment, WAYS.with_name(module), **changes)

    assert attempt.run() == 1

    intent = attempt.intent
    assert intent is not None
    assert intent.ended is Ended.LAUNCH
    assert intent.message.startswith(message)
    assert detail in intent.detail
    assert "execute.py" not in intent.detail
    assert intent.last_sequence == 0
    assert attempt.events() == []
    attempt.settle()
    if module == "breaks.py":
        assert attempt.logs() == [("stdout", "about to break")]


def test_want_of_memory_while_loading_is_told_as_such(begin: Begin, tmp_path: Path) -> None:
    module = tmp_path / "greedy.py"
    module.write_text("raise MemoryError")
    attempt = begin("any", module)

    assert attempt.run() == 1
    assert attempt.intent is not None
    assert (attempt.intent.ended, attempt.intent.out_of_memory) == (Ended.LAUNCH, True)


def test_a_configuration_that_does_not_fit_is_not_started(begin: Begin) -> None:
    attempt = begin("returns", configuration_json='{"n": 0}')

    assert attempt.run() == 1

    intent = attempt.intent
    assert intent is not None
    assert (intent.ended, intent.message) == (
        Ended.CONFIGURATION,
        "n: Input should be greater than or equal to 1",
    )
    assert "1 validation error for Config" in intent.detail
    assert attempt.events() == []


@pytest.mark.parametrize(
    ("experiment", "ended"), [("waits_for_cancel", Ended.CANCELLED), ("returns_when_cancelled", Ended.RETURNED)]
)
def test_cancellation_reaches_the_experiment(begin: Begin, experiment: str, ended: Ended) -> None:
    attempt = begin(experiment)
    with attempt.started() as process:
        wait_for(lambda: ("", "waiting") in attempt.logs())
        attempt.cancel("enough")

        assert process.wait(TIMEOUT) == 0

    intent = attempt.intent
    assert intent is not None
    assert (intent.ended, intent.cancellation_seen) == (ended, True)
    if ended is Ended.CANCELLED:
        assert intent.message == "enough"
    else:
        assert attempt.events()[-1].result == run_event_pb2.Result(key="reason", value_json='"enough"')


def test_a_forked_child_is_refused_and_its_prints_are_kept(begin: Begin) -> None:
    attempt = begin("forks")

    assert attempt.run() == 0

    attempt.settle()
    assert attempt.messages("") == ["the parent goes on"]
    assert attempt.messages("stdout")[-2:] == ["from the child", "refused: ForkedChildError"]


def test_pools_that_spawn_find_the_authors_module(begin: Begin) -> None:
    attempt = begin("spawns")

    assert attempt.run() == 0
    assert [event.result.value_json for event in attempt.events() if event.HasField("result")] == ["[1,4,9]"]


def test_what_runs_on_after_the_end_neither_records_nor_delays_the_intent(begin: Begin) -> None:
    attempt = begin("records_after_the_end")
    with attempt.started() as process:
        wait_for(lambda: attempt.intent is not None)
        still_running = process.poll() is None
        assert process.wait(TIMEOUT) == 0

    assert still_running
    intent = attempt.intent
    assert intent is not None
    assert intent.ended is Ended.RETURNED
    assert intent.last_sequence == attempt.events()[-1].sequence
    attempt.settle()
    refusal = "refused: the experiment has ended; nothing is recorded after its end"
    assert attempt.messages("stdout").count(refusal) == 2
    assert attempt.messages("") == ["the end"]


def test_output_beyond_a_small_spool_is_left_to_the_runner_and_complete(begin: Begin) -> None:
    attempt = begin("prints_much_by_descriptor", spool_limit_bytes=1 << 20)

    assert attempt.run() == 0  # although nobody acknowledges anything

    assert attempt.intent is not None
    attempt.settle()
    lines = attempt.messages("stdout")[1:]
    assert len(lines) == 100_000
    assert all(int(line[:7]) == number for number, line in enumerate(lines))


def test_a_full_spool_makes_the_experiment_wait_until_it_is_acknowledged(begin: Begin) -> None:
    attempt = begin("logs_much", spool_limit_bytes=100_000, segment_bytes=30_000)
    with attempt.started() as process:
        wait_for(lambda: attempt.events() and attempt.events()[-1].sequence > 300)
        last = -1
        while last != (last := scan(attempt.folder / "spool").last_sequence):
            time.sleep(0.3)
        assert process.poll() is None
        size = sum(path.stat().st_size for path in (attempt.folder / "spool").glob("*.seg"))
        assert 90_000 < size < 110_000

        attempt.page.acknowledged_bytes = 1 << 40
        assert process.wait(TIMEOUT) == 0

    assert attempt.messages("") == [str(number) for number in range(2_000)]


def test_the_doorbell_rings_when_the_runner_waits(begin: Begin) -> None:
    attempt = begin("takes_its_time")
    attempt.page.waiting = True
    with attempt.started():
        ready, _, _ = select.select([attempt.doorbell], [], [], TIMEOUT)

        assert ready
        assert os.read(attempt.doorbell, 100) == b"\0"
        assert not attempt.page.waiting
        assert attempt.events()


def test_its_surroundings_are_clean(begin: Begin) -> None:
    attempt = begin("says_where_it_is")

    assert attempt.run() == 0

    results = {
        event.result.key: json.loads(event.result.value_json) for event in attempt.events() if event.HasField("result")
    }
    assert results["path"][0] == str(WAYS.parent)
    assert str(attempt.folder) not in results["path"]
    assert len(results["argv"]) == 1
    assert results["env"] == {"ATHANOR_LEASE_ID": "lease"}
    assert results["inherited"][:3] == [0, 1, 2]
    assert len(results["inherited"]) == 4  # and the folder that is listed
    assert results["modules"] == []


def test_what_an_earlier_attempt_saved_is_handed_over(begin: Begin) -> None:
    attempt = begin(
        "asks_for_restored", attempt=2, next_sequence=40, checkpoint=Checkpoint(17, '{"step": 3}'), max_attempts=3
    )

    assert attempt.run() == 0

    started, *_, result, saved = attempt.events()
    assert (started.sequence, started.attempt, started.attempt_started.restored_sequence) == (40, 2, 17)
    assert result.result.value_json == '{"step":3}'
    assert saved.checkpoint.state_json == '{"step":4}'


def test_the_code_is_that_which_is_executed(begin: Begin, tmp_path: Path) -> None:
    module = tmp_path / "alone.py"
    module.write_text("from athanor.experiment import experiment\n@experiment\ndef alone(ctx): ...\n")
    described = Code("digest of what was described", "alone:alone", "", "commit", True)
    first = begin("alone", module, code=described)
    assert first.run() == 0
    code = first.events()[0].attempt_started.code
    assert (code.module, code.git_commit) == ("alone:alone", "")  # there is no repository here
    assert len(code.digest) == 64

    same = Code(code.digest, "alone:alone", "dist==1", "commit", True)
    second = begin("alone", module, code=same)
    assert second.run() == 0
    taken = second.events()[0].attempt_started.code
    assert (taken.digest, taken.distribution, taken.git_commit, taken.git_dirty) == (
        code.digest,
        "dist==1",
        "commit",
        True,
    )


MODEL = """
from athanor.experiment import RunContext, experiment
from pydantic import BaseModel
class Config(BaseModel):
    size: int = {size}
@experiment
def settled(ctx: RunContext[Config]): ctx.info(str(ctx.config.size))
"""


@pytest.mark.parametrize("newer", [True, False])
def test_newer_code_is_not_executed_with_settings_made_for_the_older(begin: Begin, tmp_path: Path, newer: bool) -> None:
    module = tmp_path / "settled.py"
    module.write_text(MODEL.format(size=60))
    digest = schema_digest(_described(module))
    module.write_text(MODEL.format(size=11 if newer else 60) + "# another line\n")

    attempt = begin("settled", module, configuration_json='{"size": 60}', code=Code("older"), schema_digest=digest)

    assert attempt.run() == int(newer)
    assert attempt.intent is not None
    if newer:
        assert (attempt.intent.ended, attempt.events()) == (Ended.CONFIGURATION, [])
        assert "run it again" in attempt.intent.message


def _described(module: Path) -> str:
    """The schema of the one experiment of a file, as the runner gets to know it."""
    describe = [sys.executable, "-P", "-m", "athanor.experiment.describe", "--path", str(module.parent)]
    document = json.loads(subprocess.run(describe, check=True, stdout=subprocess.PIPE).stdout)
    return next(one["configuration_schema_json"] for one in document["experiments"] if one["name"] == module.stem)


def test_it_dies_with_its_runner(begin: Begin, tmp_path: Path) -> None:
    attempt = begin("takes_its_time")
    starter = (
        "import os, subprocess, sys\n"
        "env = {**os.environ, 'ATHANOR_RUNNER_PID': str(os.getpid())}\n"
        "child = subprocess.Popen([sys.executable, '-m', 'athanor.experiment.execute', sys.argv[1]], env=env)\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", starter, str(attempt.folder)], stdout=subprocess.PIPE) as runner:
        assert runner.stdout is not None
        pid = int(runner.stdout.readline())
        wait_for(lambda: ("", "here") in attempt.logs())

        runner.kill()

    wait_for(lambda: not Path(f"/proc/{pid}").exists())


def test_it_does_not_start_when_its_runner_is_gone_already(begin: Begin) -> None:
    attempt = begin("returns")
    with attempt.started({"ATHANOR_RUNNER_PID": "999999999"}) as process:
        assert process.wait(TIMEOUT) == 1

    assert not (attempt.folder / "spool").exists()


def test_the_command_says_how_it_is_used() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "athanor.experiment.execute"], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (1, "usage: python -m athanor.experiment.execute FOLDER\n")
