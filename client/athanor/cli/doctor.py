"""`athanor doctor`: what is wrong, and the command that helps."""

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from athanor.cli import arguments, complete, diagnosis, exits, ids, machine, options, output, session, words
from athanor.cli.diagnosis import Finding, Fleet, Mark

if TYPE_CHECKING:
    from athanor.client import AsyncClient, OrchestratorRecord, RunRecord

_STYLES = {Mark.OK: "green", Mark.WARN: "yellow", Mark.FAIL: "bold red"}
_MOST = 1000  # runs that wait, looked at in one go
_WHOLE, _BEGINNING = 36, 13  # characters of an id, and of what nearly always tells it from others
_PATIENCE = 5.0  # seconds for an answer
_AGAIN = 0.5  # seconds between two looks
_RETRY_FOR = 1.0  # seconds: who looks wants to know how it is now


def doctor(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN|EXPERIMENT",
            help="Id of a run, or the beginning of it; `last`: the newest run. Or an experiment: would a run of it be "
            "executed? [default: all runs that wait]",
            autocompletion=complete.runs_and_experiments,
        ),
    ] = None,
    wait: Annotated[
        str | None,
        typer.Option(
            "--wait",
            metavar="DURATION",
            help="Look again until nothing fails, for at most this long, for example 30s. Runs that wait are left out, "
            "but for RUN.",
        ),
    ] = None,
    target: options.Target = None,
    json: options.Json = False,
) -> None:
    """Look for what is wrong: is there an orchestrator, is there a runner, why is this run still waiting.

    Each line has a mark: ok; warn, worth knowing, it may pass by itself; fail, nothing comes of it unless somebody
    does something. Below it stands the command that helps. Exit status 0 without any fail, else 1.

    \b
    For example:
      athanor doctor
      athanor doctor 0198c5
      athanor doctor hello --wait 30s
    """
    patience = arguments.duration(wait, "--wait")

    async def work(client: "AsyncClient") -> list[Finding]:
        if patience is None:
            return await _examine(client, what)
        with output.busy("waiting until nothing fails"):
            return await _wait(client, what, patience)

    findings = session.run(target, work)
    good = all(one.mark is not Mark.FAIL for one in findings)
    if json:
        output.document({"ok": good, "findings": [_document(one) for one in findings]})
    else:
        _print(findings)
    if patience is not None and not good:
        session.fail(f"not ready after {words.duration(patience)}", exits.FAILED)
    raise typer.Exit(exits.OK if good else exits.FAILED)


async def _wait(client: "AsyncClient", text: str | None, patience: timedelta) -> list[Finding]:
    """Examine until nothing fails, or `patience` is over; return what was found at last."""
    import asyncio

    from athanor.client import DeadlineExceededError, UnavailableError

    end = asyncio.get_running_loop().time() + patience.total_seconds()
    while True:
        try:
            findings = await _examine(client, text, patient=True)
        except (DeadlineExceededError, UnavailableError) as error:  # it went away meanwhile
            findings = [Finding(Mark.FAIL, "orchestrator", str(error))]
        left = end - asyncio.get_running_loop().time()
        if left <= 0 or all(one.mark is not Mark.FAIL for one in findings):
            return findings
        await asyncio.sleep(min(left, _AGAIN))


async def _examine(client: "AsyncClient", text: str | None, *, patient: bool = False) -> list[Finding]:
    addresses = client.target.split(",")
    asked = [await _orchestrator(address) for address in addresses]
    told = [finding for _, finding in asked]
    findings = machine.software()
    if any(map(is_local, addresses)):
        from athanor.cli import system

        data = os.environ.get("ATHANOR_DATA")
        folder = machine.data_folder(Path(data) if data else system.default_data_folder())
        findings.append(diagnosis.default_folder(folder, any(answered for answered, _ in asked)))
    findings += diagnosis.orchestrators(told, any(one.mark is Mark.OK for one in told))
    if not any(answered for answered, _ in asked):
        return findings
    fleet = Fleet(
        runners=await client.runners.list().all(),
        experiments=await client.experiments.list().all(),
        broken=await client.experiments.discovery_errors(),
        now=datetime.now(UTC),
    )
    findings += [*diagnosis.runners(fleet), *diagnosis.experiments(fleet)]
    if text is not None:
        findings.append(await _named(client, text, fleet, patient))
    elif not patient:
        findings += _of_waiting(await _waiting(client), fleet)
    return findings


async def _named(client: "AsyncClient", text: str, fleet: Fleet, patient: bool) -> Finding:
    """What is to be said of an experiment, or else a run; to who is `patient` what is neither may be one that comes.

    An experiment, that is: what looks like a run is one that is mistyped or deleted, and will not come.
    """
    from athanor.client import NotFoundError

    if any(one.name == text for one in fleet.experiments):
        return diagnosis.experiment(text, fleet)
    try:
        return diagnosis.run(await client.runs.get(await ids.run(client, text)), fleet)
    except NotFoundError as error:
        if patient and not ids.like_a_run(text):
            return diagnosis.experiment(text, fleet)
        said = (
            f"there is no run and no experiment of the name {text!r}; "
            "`athanor runs list` and `athanor experiments list` show those there are"
        )
        raise NotFoundError(said, code=error.code) from None


async def _orchestrator(address: str) -> tuple[bool, Finding]:
    """Ask one whether it serves; the second time for how long that takes, connected."""
    import time

    from athanor.cli import system
    from athanor.client import AsyncClient, AthanorError

    async with AsyncClient(address, timeout=_PATIENCE, retry_for=_RETRY_FOR) as client:
        try:
            serving = await client.healthy()
            began = time.perf_counter()
            serving = await client.healthy()
        except AthanorError as error:
            local = is_local(address)
            taken = local and system.taken(address) is not None
            return False, diagnosis.unreachable(str(error), address, local=local, taken=taken)
        milliseconds = 1000 * (time.perf_counter() - began)
        what: OrchestratorRecord | None = None
        with suppress(AthanorError):  # an older one does not have that call
            what = await client.orchestrator()
    return True, diagnosis.orchestrator(address, milliseconds, serving, what)


async def _waiting(client: "AsyncClient") -> "Sequence[RunRecord]":
    from athanor.client import RunState

    return await client.runs.list(states=[RunState.PENDING], full=True, limit=_MOST).all()


def _of_waiting(waiting: "Sequence[RunRecord]", fleet: Fleet) -> list[Finding]:
    if not waiting:
        return [Finding(Mark.OK, "runs", "none waits")]
    found = diagnosis.together([(one.experiment, diagnosis.run(one, fleet)) for one in waiting])
    if len(waiting) == _MOST:
        found.append(Finding(Mark.WARN, "runs", f"more wait than the {_MOST} newest, which were looked at"))
    return found


def is_local(address: str) -> bool:
    """Whether it is this machine's own."""
    host = address.rpartition(":")[0]
    return host in ("localhost", "[::1]") or host.startswith("127.")


def lines(findings: Sequence[Finding]) -> list[tuple[Finding, str, str]]:
    """Return each finding with its line but for the mark, and the line of its command, empty without one."""
    width = max((len(one.subject) for one in findings), default=0)
    return [(one, f"{one.subject:<{width}}  {one.text}", one.command and f"→ {one.command}") for one in findings]


def _print(findings: Sequence[Finding]) -> None:
    shown = lines(findings)
    if not output.is_terminal():
        for one, text, command in shown:
            print(f"{one.mark.value:<4}  {text}")
            if command:
                print(f"      {command}")
    else:
        _draw(findings)
    failed, warned = (sum(one.mark is mark for one in findings) for mark in (Mark.FAIL, Mark.WARN))
    if failed or warned:
        parts = [words.count(failed, "fail") if failed else "", words.count(warned, "warning") if warned else ""]
        output.note(f"{' and '.join(filter(None, parts))}.")
    else:
        output.note("All is well.")


def _draw(findings: Sequence[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold", max_width=26)
    grid.add_column(overflow="fold", ratio=1)
    for one in findings:
        text = Text(output.visible(one.text))
        if one.command:
            text.append(f"\n→ {one.command}", style="bold")
        grid.add_row(Text(one.mark.value, style=_STYLES[one.mark]), output.visible(_short(one.subject)), text)
    output.console().print(grid)


def _short(subject: str) -> str:
    """A subject that is a run with the beginning of its id: all of it would take the width of a terminal."""
    return " ".join(word[:_BEGINNING] if len(word) == _WHOLE else word for word in subject.split(" "))


def _document(one: Finding) -> dict[str, str | None]:
    return {"mark": one.mark.value, "subject": one.subject, "text": one.text, "command": one.command or None}
