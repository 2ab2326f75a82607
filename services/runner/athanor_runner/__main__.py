"""`athanor-runner`: reads what it is told, and runs until it is stopped."""

import argparse
import asyncio
import contextlib
import logging
import os
import sys
from dataclasses import replace
from pathlib import Path

from athanor.experiment.assignment import WhenFull

# Before grpc is imported: its fork handlers are not needed, because no process is started by a bare fork.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

from athanor_runner import allocator, process, settings, spool_commands, state
from athanor_runner.agent import Agent, serve
from athanor_runner.catalogue import EnvironmentBroken
from athanor_runner.link import GrpcConnection
from athanor_runner.ports import SystemClock, ThreadedDisk
from athanor_runner.session import Refused


def main(arguments: list[str] | None = None) -> int:
    """Runs a runner; returns its exit status: 0 stopped, 1 it cannot work, 2 it was told nonsense."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["spool"]:
        return spool_commands.main(arguments[1:])
    told = _parse(arguments)
    allocator.hold_little()
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    )
    try:
        folder = state.StateFolder.open(told.state_folder)
    except (state.StateFolderInUse, state.StateFolderDamaged) as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"the state folder {told.state_folder} cannot be used: {error.strerror}")
    try:
        process.become_subreaper()
        asyncio.run(_run(told, folder))
    except* EnvironmentBroken as errors:
        return_value = _fail(str(errors.exceptions[0]))
    except* Refused as errors:
        return_value = _fail(
            f"the orchestrator at {' or '.join(told.targets)} refused this runner: {errors.exceptions[0]}"
        )
    else:
        return_value = 0
    finally:
        folder.close()
    return return_value


async def _run(told: settings.Settings, folder: state.StateFolder) -> None:
    processes = process.LinuxProcesses(told.launch)
    agent = Agent(told, folder, GrpcConnection, SystemClock(), ThreadedDisk(), processes, os.environ, _say)
    try:
        await serve(agent)
    finally:
        processes.close()


def _parse(arguments: list[str]) -> settings.Settings:
    parser = argparse.ArgumentParser(
        prog="athanor-runner",
        description="Executes runs for an Athanor orchestrator, each in a process of its own.",
        epilog="`athanor-runner spool --help`: read what a runner holds of attempts, its quarantine included.",
    )
    parser.add_argument(
        "--target", default=os.environ.get("ATHANOR_TARGET") or ",".join(settings.Settings.targets),
        metavar="HOST:PORT[,...]",
        help="the orchestrator, or several that share a database: when one is lost the next is taken"
        " (default: $ATHANOR_TARGET, then %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--state", type=Path, metavar="FOLDER",
        default=os.environ.get("ATHANOR_RUNNER_STATE") or settings.default_state_folder(os.environ),
        help="the folder of this runner alone (default: $ATHANOR_RUNNER_STATE, then %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--path", type=Path, action="append", default=[], metavar="FOLDER",
        help="a folder with experiments, beside those that are installed; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--python", default=sys.executable, metavar="PATH",
        help="the interpreter that executes experiments (default: the runner's own)",
    )  # fmt: skip
    parser.add_argument(
        "--launch", choices=[choice.value for choice in settings.Launch],
        default=os.environ.get("ATHANOR_RUNNER_LAUNCH") or settings.Settings.launch.value,
        help="whether run processes are forked from a template, or each starts an interpreter "
        "(default: $ATHANOR_RUNNER_LAUNCH, then fork)",
    )  # fmt: skip
    parser.add_argument(
        "--slots", type=int, default=settings.default_slots(), help="runs at once (default: %(default)s)"
    )
    parser.add_argument("--name", default=settings.default_name(), help="a name for people (default: %(default)s)")
    parser.add_argument(
        "--stop-grace", type=float, default=settings.Settings.stop_grace, metavar="SECONDS",
        help="how long runs may go on after the runner was told to stop (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--spool-limit", metavar="SIZE", default=None,
        help="what one run may hold unshipped before its spool is full, such as 500MiB "
        "(default: $ATHANOR_RUNNER_SPOOL_LIMIT_BYTES, then 1GiB)",
    )  # fmt: skip
    parser.add_argument(
        "--when-spool-full", choices=[choice.value for choice in WhenFull],
        default=os.environ.get("ATHANOR_RUNNER_WHEN_SPOOL_FULL") or settings.Settings.when_spool_full.value,
        help="whether log entries then wait, or are dropped and counted; results always wait "
        "(default: $ATHANOR_RUNNER_WHEN_SPOOL_FULL, then wait)",
    )  # fmt: skip
    told = parser.parse_args(arguments)
    try:
        targets = settings.targets_from(told.target)
    except ValueError as error:
        parser.error(f"--target {error}")
    if told.slots < 1:
        parser.error(f"--slots must be at least 1, not {told.slots}")
    if not told.stop_grace >= 0:
        parser.error(f"--stop-grace must not be negative, not {told.stop_grace:g}")
    for path in told.path:
        if not path.is_dir():
            parser.error(f"--path {path} is not a folder")
    if told.launch not in list(settings.Launch):
        parser.error(f"ATHANOR_RUNNER_LAUNCH must be fork or exec, not {told.launch!r}")
    if told.when_spool_full not in list(WhenFull):  # a default is not checked by the parser
        parser.error(f"ATHANOR_RUNNER_WHEN_SPOOL_FULL must be wait or drop, not {told.when_spool_full!r}")
    try:
        timings = settings.timings_from(os.environ)
    except ValueError as error:
        parser.error(str(error))
    if told.spool_limit is not None:
        try:
            timings = replace(timings, spool_limit_bytes=settings.size_from(told.spool_limit))
        except ValueError as error:
            parser.error(f"--spool-limit: {error}")
    return settings.Settings(
        targets=targets,
        state_folder=Path(told.state).absolute(),
        paths=tuple(path.absolute() for path in told.path),
        python=told.python,
        launch=settings.Launch(told.launch),
        slots=told.slots,
        display_name=told.name,
        stop_grace=told.stop_grace,
        when_spool_full=WhenFull(told.when_spool_full),
        timings=timings,
    )


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more: no reason to stop
        print(line, flush=True)  # noqa: T201 - whoever started the runner waits for this line


def _fail(message: str) -> int:
    print(f"athanor-runner: {message}", file=sys.stderr)  # noqa: T201 - for the person who started it
    return 1


if __name__ == "__main__":
    sys.exit(main())
