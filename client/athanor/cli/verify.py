"""`athanor runs verify`: whether a run's log is complete and unaltered."""

from typing import TYPE_CHECKING

import typer

from athanor.cli import exits, ids, options, output, session, shapes, words

if TYPE_CHECKING:
    from athanor.client import AsyncClient, AttemptFinding, LogFault, Verification


def verify(run: options.RunId, target: options.Target = None, json: options.Json = False) -> None:
    """Check the whole log of a run: that every event is there and unaltered, and that this is all that was recorded.

    The exit status is 0 when it is complete, or under way and unaltered so far; 1 when it is not complete, or damaged:
    then every missing or altered event is named by its sequence.
    """

    async def work(client: "AsyncClient") -> "Verification":
        run_id = await ids.run(client, run)
        with output.busy(f"verifying run {run_id}"):
            return await client.runs.verify(run_id)

    item = session.run(target, work)
    if json:
        output.document(shapes.verification(item))
    else:
        for text in told(item):
            output.line(text)
    raise typer.Exit(exits.OK if item.intact else exits.FAILED)


def told(item: "Verification") -> list[str]:
    """A certificate in lines for people: the verdict, each attempt, each fault."""
    lines = [f"{_verdict(item)} (run {item.run_id})"]
    lines += [f"  attempt {attempt.number}: {_attempt(attempt)}" for attempt in item.attempts]
    lines += [f"  {_fault(fault)}" for fault in item.faults]
    if item.more_fault_count:
        lines.append(f"  and {words.count(item.more_fault_count, 'more fault')}")
    return lines


def _verdict(item: "Verification") -> str:
    events = words.count(item.event_count, "event")
    match item.verdict.value:
        case "COMPLETE":
            return f"complete: {events}, all that was recorded, unaltered"
        case "INCOMPLETE":
            return f"NOT complete: {events}, unaltered, but not known to be all that was recorded"
        case "DAMAGED":
            return f"DAMAGED: {events} of a log that reaches to {item.last_sequence}"
        case "UNDER_WAY":
            return f"under way: {events} so far, unaltered"
        case other:
            return f"{other}: {events}"


def _attempt(attempt: "AttemptFinding") -> str:
    events = words.count(attempt.event_count, "event")
    match attempt.verdict.value:
        case "COMPLETE":
            return f"complete, {events}, the digest fits"
        case "INCOMPLETE":
            return f"NOT complete, {events}: {attempt.detail}"
        case "DAMAGED":
            return f"DAMAGED, {events}" + ("" if attempt.log_complete else "; it was not complete when it ended")
        case "UNDER_WAY":
            return f"under way, {events} so far, the digest fits"
        case other:
            return f"{other}, {events}"


def _fault(fault: "LogFault") -> str:
    if not fault.first_sequence and not fault.last_sequence:
        return fault.detail
    one = fault.first_sequence == fault.last_sequence
    events = f"event {fault.first_sequence}" if one else f"events {fault.first_sequence} to {fault.last_sequence}"
    match fault.kind.value:
        case "MISSING":
            return f"{events} {'is' if one else 'are'} missing"
        case "ALTERED":
            return f"{events} {'was' if one else 'were'} altered: {fault.detail}"
        case "DIGEST":
            return fault.detail
        case _:
            return f"{events}: {fault.detail}"
