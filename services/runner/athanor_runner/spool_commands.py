"""`athanor-runner spool`: what is in the spools of a state folder, whether it is whole, and the events themselves.

Nothing here changes anything or takes a lock: a runner may be at work in the same folder.
"""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from athanor.v1 import run_event_pb2
from google.protobuf import json_format

from athanor_runner import settings, spool_folders
from athanor_runner.spool_folders import NoSuchSpool, SpoolFolder
from athanor_runner.spool_walk import Break, Survey, survey, walk

Row = Mapping[str, Any]


def main(arguments: Sequence[str]) -> int:
    """Does what the words after `spool` say; returns the exit status: 0, 1 damage, 2 nonsense."""
    told = _parse(arguments)
    try:
        return told.do(told)
    except NoSuchSpool as error:
        return _fail(str(error), 2)
    except BrokenPipeError:  # whoever read it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _fail(str(error), 1)


def _list(told: argparse.Namespace) -> int:
    rows: list[Row] = []
    for spool in spool_folders.find_all(told.state):
        seen = spool_folders.glance(spool.segments)
        row = _whose(spool) | {"first_sequence": seen.first_sequence, "last_sequence": seen.last_sequence}
        rows.append(row | {"bytes": spool.bytes, "ended": seen.ended, "note": seen.fault or spool.note})
    if told.json:
        _print_json({"spools": rows})
    else:
        _print_table(
            ("LEASE", "RUN", "ATTEMPT", "EXPERIMENT", "WHERE", "SEQUENCES", "BYTES", "ENDED", "NOTE"),
            [
                (
                    *(row["lease_id"], row["run_id"], row["attempt"] or "", row["experiment"], row["where"]),
                    *(_range(row), row["bytes"], "yes" if row["ended"] else "no", row["note"]),
                )
                for row in rows
            ],
        )
    return 0


def _verify(told: argparse.Namespace) -> int:
    spools = [spool_folders.find(told.state, name) for name in told.spools] or spool_folders.find_all(told.state)
    damaged = 0
    rows: list[Row] = []
    for spool in spools:
        found = survey(spool.segments, spool.recorded_sequence())
        damaged += bool(found.breaks)
        rows.append(_verdict(spool, found))
        if not told.json:
            _say_verdict(spool, found)
    if told.json:
        _print_json({"spools": rows})
    return 1 if damaged else 0


def _verdict(spool: SpoolFolder, found: Survey) -> Row:
    damage = [
        {"file": str(one.path), "offset": one.offset, "after_sequence": one.after_sequence, "reason": one.reason}
        for one in found.breaks
    ]
    row = _whose(spool) | {"first_sequence": found.first_sequence, "last_sequence": found.last_sequence}
    row |= {"event_count": found.event_count, "ended": found.ended, "digest_known": found.digest_known}
    return row | {"whole": not damage, "damage": damage}


def _say_verdict(spool: SpoolFolder, found: Survey) -> None:
    state = "DAMAGED" if found.breaks else "whole"
    end = "ended" if found.ended else "not ended"
    digest = "" if found.digest_known else ", no digest covers what was before"
    _print(f"{spool.folder}: {state}, {_range(_verdict(spool, found))}, {found.event_count} events, {end}{digest}")
    for one in found.breaks:
        _print(f"  {one}")


def _export(told: argparse.Namespace) -> int:
    spool = spool_folders.find(told.state, told.spool)
    with contextlib.ExitStack() as opened:
        target: IO[str] = sys.stdout
        if told.output is not None:
            target = opened.enter_context(told.output.open("w", encoding="utf-8"))
        for found in walk(spool.segments):
            if isinstance(found, Break):
                return _fail(f"the spool is damaged, and what follows is left out: {found}", 1)
            target.write(event_json(found.event) + "\n")
        target.flush()
    return 0


def event_json(event: bytes) -> str:
    """One event on one line, in the JSON of protobuf: what grpcurl prints, and what can be parsed back to the bytes."""
    message = run_event_pb2.RunEvent.FromString(event)
    return json_format.MessageToJson(message, indent=None, ensure_ascii=False)


def _whose(spool: SpoolFolder) -> dict[str, Any]:
    assignment = spool.assignment
    return {
        "lease_id": spool.lease_id,
        "run_id": assignment.run_id if assignment is not None else "",
        "attempt": assignment.attempt if assignment is not None else 0,
        "experiment": assignment.experiment if assignment is not None else "",
        "where": spool.where,
        "folder": str(spool.folder),
    }


def _range(row: Row) -> str:
    return f"{row['first_sequence']}..{row['last_sequence']}" if row["last_sequence"] else "none"


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="athanor-runner spool",
        description="Reads what a runner holds of attempts, its quarantine included. Changes nothing, and may be used "
        "while the runner runs.",
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--state", type=Path, metavar="FOLDER",
        default=os.environ.get("ATHANOR_RUNNER_STATE") or settings.default_state_folder(os.environ),
        help="the runner's state folder (default: $ATHANOR_RUNNER_STATE, then %(default)s)",
    )  # fmt: skip
    as_json = argparse.ArgumentParser(add_help=False)
    as_json.add_argument("--json", action="store_true", help="print one JSON document")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    command = commands.add_parser("list", parents=[common, as_json], help="what there is, at a glance")
    command.set_defaults(do=_list)
    command = commands.add_parser(
        "verify", parents=[common, as_json], help="read all of it; exit status 1 when something is damaged",
        description="Checks the checksum and number of every record, and the digests. "
        "The exit status is 1 when something is damaged.",
    )  # fmt: skip
    command.add_argument("spools", nargs="*", metavar="LEASE|FOLDER", help="default: all of the state folder")
    command.set_defaults(do=_verify)
    command = commands.add_parser(
        "export", parents=[common], help="the events as JSON Lines",
        description="Prints the events as JSON Lines, up to the first that is damaged; then the exit status is 1.",
    )  # fmt: skip
    command.add_argument("spool", metavar="LEASE|FOLDER")
    command.add_argument("--output", type=Path, metavar="FILE", help="write there, instead of to standard output")
    command.set_defaults(do=_export)
    told = parser.parse_args(arguments)
    told.state = Path(told.state)
    return told


def _print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    lines = [tuple(map(str, row)) for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        _print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _print_json(document: Mapping[str, Any]) -> None:
    _print(json.dumps(document, indent=1, ensure_ascii=False))


def _print(line: str) -> None:
    print(line)  # noqa: T201 - what the command is for


def _fail(message: str, status: int) -> int:
    print(f"athanor-runner spool: {message}", file=sys.stderr)  # noqa: T201 - for the person who called it
    return status
