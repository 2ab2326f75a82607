"""An attempt's folder made by hand, and the run's process started as a runner starts it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from athanor.experiment.assignment import Assignment
from athanor.experiment.capture import OutputCapture
from athanor.experiment.control import ControlPage
from athanor.experiment.intent import Intent
from athanor.experiment.spool import Claim, SpoolReader, SpoolWriter
from athanor.v1 import run_event_pb2

TIMEOUT = 30.0  # seconds


class Attempt:
    """One attempt: its folder, its process, and what is in its spool."""

    def __init__(self, folder: Path, module: Path, attribute: str, **changes: Any) -> None:
        """`module` is the file that the experiment is in; `changes` are fields of the assignment."""
        self.folder = folder
        folder.mkdir(parents=True)
        self.assignment = replace(
            Assignment(
                lease_id="lease",
                run_id="run",
                instance_id="instance",
                instance_name="an instance",
                attempt=1,
                experiment=attribute,
                module=f"{module.stem}:{attribute}",
                configuration_json="{}",
                seed=7,
                next_sequence=2,
                search_path=(str(module.parent),),
                runner_id="runner",
            ),
            **changes,
        )
        (folder / "assignment.json").write_text(self.assignment.to_json())
        self.page = ControlPage.create(folder / "control")
        self.doorbell, self._bell = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    @contextmanager
    def started(self, env: Mapping[str, str] | None = None) -> Iterator["subprocess.Popen[bytes]"]:
        """Its process; killed when the block is left."""
        with (self.folder / "stdout").open("ab") as stdout, (self.folder / "stderr").open("ab") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "athanor.experiment.execute", str(self.folder)],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env={
                    **os.environ,
                    "ATHANOR_LEASE_ID": self.assignment.lease_id,
                    "ATHANOR_DOORBELL_FD": str(self._bell),
                    "ATHANOR_RUNNER_PID": str(os.getpid()),
                    **(env or {}),
                },
                pass_fds=(self._bell,),
                cwd=self.folder,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def run(self) -> int:
        """Run it to its end; answer the exit status."""
        with self.started() as process:
            return process.wait(TIMEOUT)

    def cancel(self, reason: str) -> None:
        """Request cancellation as a runner does."""
        (self.folder / "cancel.json").write_text(json.dumps({"reason": reason}))
        self.page.set_cancelled()

    def close(self) -> None:
        """Let go of the page and the doorbell."""
        self.page.close()
        for descriptor in (self.doorbell, self._bell):
            os.close(descriptor)

    @property
    def intent(self) -> Intent | None:
        return Intent.read(self.folder)

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()

    def events(self) -> list[run_event_pb2.RunEvent]:
        """What the process has recorded."""
        with closing(SpoolReader(self.folder / "spool")) as reader:
            batches = iter(lambda: reader.read(1 << 20), [])
            return [run_event_pb2.RunEvent.FromString(data) for batch in batches for data in batch]

    def settle(self) -> None:
        """Do what the runner does when no process is left: turn the rest of the output into events."""
        with (
            closing(SpoolWriter.resume(self.folder / "spool", self.assignment.next_sequence)) as writer,
            closing(OutputCapture(self.folder, writer.position)) as capture,
        ):
            while capture.record(writer, self.assignment.attempt, 0, final=True, claim=Claim.END):
                pass

    def logs(self) -> list[tuple[str, str]]:
        """Source and text of every log entry."""
        return [(event.log.source, event.log.message) for event in self.events() if event.HasField("log")]

    def messages(self, source: str) -> list[str]:
        """The texts of one source."""
        return [message for at, message in self.logs() if at == source]
