"""Mutants: production functions with one rule taken out, to show that the simulation would notice.

A mutant names a function, the lines that are its rule, and what stands there instead. The function's own source is
changed and compiled again, so a rule that moves or is reworded makes its mutant fail until that is looked at.
"""

import inspect
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from athanor.experiment import context
from athanor_orchestrator.domain import append_rule
from athanor_orchestrator.engine import (
    appending,
    dispatcher,
    ending,
    heartbeats,
    hello,
    intake,
    observation,
    subscription,
    wakeups,
)
from athanor_orchestrator.storage import writer
from athanor_runner import attempt, attempt_folder, lease, shipping


@dataclass(frozen=True)
class Edit:
    """A change to one function's source."""

    function: Callable[..., Any]
    old: str  # stands exactly once in it
    new: str


@dataclass(frozen=True)
class Mutant:
    """A rule that is not kept."""

    name: str
    rule: str  # what it breaks, in words
    edits: Sequence[Edit]

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Meanwhile production code does without the rule."""
        with ExitStack() as undo:
            for edit in self.edits:
                function = inspect.unwrap(edit.function)
                assert isinstance(function, FunctionType)
                undo.callback(setattr, function, "__code__", function.__code__)
                function.__code__ = _mutated(function, edit)
            yield


def _mutated(function: FunctionType, edit: Edit) -> Any:
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(edit.old) == 1, f"{function.__qualname__} has {source.count(edit.old)} times {edit.old!r}"
    space: dict[str, Any] = {}
    # With the module's own names as its globals; defaults and annotations stay the function's.
    exec(
        compile(
            "from __future__ import annotations\n" + source.replace(edit.old, edit.new), function.__qualname__, "exec"
        ),
        {**function.__globals__},
        space,
    )
    (mutated,) = (value for value in space.values() if isinstance(value, FunctionType))
    return mutated.__code__


MUTANTS = (
    Mutant(
        "acknowledge_before_commit",
        "acknowledge after the commit",
        [
            Edit(
                intake.Intake._commit,
                "    answers = await self._database.write(",
                "    for item in items:\n"
                "        item.stream.outbox.acknowledge(Acknowledgement(item.lease_id, item.batch.last_sequence))\n"
                "    answers = await self._database.write(",
            )
        ],
    ),
    Mutant(
        "high_water_mark_in_a_second_transaction",
        "the run's last sequence is written with its events",
        [
            Edit(
                appending.store,
                "    counts.write_counts(tx, [ledger.reach for ledger in touched if ledger.standing.end is None])\n",
                "    reached = [ledger.reach for ledger in touched if ledger.standing.end is None]\n"
                "    tx.dialect.__dict__.setdefault('later', []).append(lambda tx: counts.write_counts(tx, reached))\n",
            ),
            Edit(
                intake.Intake._commit,
                "    # Committed: from here on it may be told.",
                "    later = self._database._dialect.__dict__.get('later', [])\n"
                "    while later:\n"
                "        await self._database.write(later.pop(0))\n",
            ),
        ],
    ),
    Mutant(
        "no_contiguity_check",
        "a batch follows what is stored",
        [
            Edit(
                append_rule.decide,
                "    if first_sequence > last_sequence + 1:\n        return Rewind(last_sequence)\n",
                "",
            )
        ],
    ),
    Mutant(
        "no_fencing",
        "what comes under a lease that is over is not stored",
        [
            Edit(
                append_rule.decide,
                "    if lease.end is not None or current_lease_id != lease.id:\n",
                "    if False:\n",
            ),
            Edit(
                appending.store,
                "        if standing.current_lease_id == standing.id\n",
                "        if standing.run_last_sequence\n",
            ),
            # The second lock on the door: what differs from the stored bytes is refused as well.
            Edit(appending._Ledger._differs, '    if skip == 0:\n        return ""\n', '    return ""\n'),
        ],
    ),
    Mutant(
        "fencing_from_a_cache",
        "the answer of the lease check is never cached",
        [
            Edit(
                appending.store,
                "    known = standings.lock_standings(tx, lease_ids)\n",
                "    cache = tx.dialect.__dict__.setdefault('cache', {})\n"
                "    for lease_id, it in standings.lock_standings(tx, lease_ids).items():\n"
                "        kept = cache.setdefault(lease_id, it)\n"
                "        current = lease_id if it.run_last_sequence and kept.end is None else it.current_lease_id\n"
                "        cache[lease_id] = it._replace(\n"
                "            end=kept.end, session_number=kept.session_number, current_lease_id=current\n"
                "        )\n"
                "    known = {lease_id: cache[lease_id] for lease_id in lease_ids if lease_id in cache}\n",
            )
        ],
    ),
    Mutant(
        "wake_before_commit",
        "wake after the commit",
        [
            Edit(
                writer.Writer._try,
                "            committing = True\n",
                "            committing = True\n            self._on_commit(frozenset(group.topics))\n",
            ),
            Edit(
                writer.Writer._deliver,
                "    if group.topics:\n        self._on_commit(frozenset(group.topics))\n",
                "",
            ),
        ],
    ),
    Mutant(
        "slow_subscriber_drops",
        "a slow subscriber falls back to the log",
        [
            Edit(
                subscription._look,
                "    batch, position = _events(",
                "    if run.last_sequence - position > 12 and position > 0:\n"
                "        position = run.last_sequence - 12\n"
                "    batch, position = _events(",
            )
        ],
    ),
    Mutant(
        "no_poll_beside_the_wakeup",
        "a poll stands beside every wake-up",
        [Edit(wakeups.Wakeup.wait, "asyncio.timeout(max(timeout, 0))", "asyncio.timeout(1e9)")],
    ),
    Mutant(
        "assignment_sent_again",
        "an assignment is sent once",
        [
            Edit(
                dispatcher.Dispatcher._send,
                "    session.outbox.put(assignment)\n",
                "    session.outbox.put(assignment)\n"
                "    again = __import__('asyncio').get_running_loop().call_later(9, session.outbox.put, assignment)\n",
            )
        ],
    ),
    Mutant(
        "assignment_to_another_session",
        "an assignment goes to the session that its lease names and to no other",
        [
            Edit(
                dispatcher.Dispatcher._send,
                "    session.outbox.put(assignment)\n",
                "    for other in self._sessions.live():\n"
                "        if other is not session:\n"
                "            other.outbox.put(assignment)\n"
                "            break\n"
                "    else:\n"
                "        session.outbox.put(assignment)\n",
            )
        ],
    ),
    Mutant(
        "claim_does_not_compare_the_session",
        "a claim sees that the session is its runner's newest",
        [
            Edit(
                dispatcher._rooms,
                "        if runner is None or runner.session_number != candidate.session_number:\n",
                "        if runner is None:\n",
            )
        ],
    ),
    Mutant(
        "claim_without_an_answer_forgotten",
        "what was granted by a commit of unknown fate is settled by a new Hello",
        [Edit(dispatcher.Dispatcher.round, "        if error.maybe_done:\n", "        if False:\n")],
    ),
    Mutant(
        "checkpoint_not_flushed",
        "a checkpoint that has returned outlives a power cut",
        [Edit(context.RunContext.checkpoint, "    self._recorder.flush()\n", "")],
    ),
    Mutant(
        "no_resume_beyond_the_spools_end",
        "after a power cut numbering goes on behind what the orchestrator has",
        [
            Edit(
                attempt.Attempt._record_end,
                "    next_sequence = self._next_sequence if end is None else 0\n",
                "    next_sequence = 0\n",
            )
        ],
    ),
    Mutant(
        "intent_of_another_boot_believed",
        "an intent counts only in its own boot",
        [
            Edit(
                attempt_folder.intent_of_this_boot,
                "    return said if said is not None and said.boot_id == intent.boot_id() else None\n",
                "    return said\n",
            )
        ],
    ),
    Mutant(
        "failed_transaction_answered_by_nothing",
        "a run whose transaction failed is answered with a rewind",
        [Edit(intake.Intake._fail, "        self._retries.failed(item.stream, item.lease_id)\n", "        pass\n")],
    ),
    Mutant(
        "cancelled_run_given_back_stays_pending",
        "a cancelled run whose lease goes back is CANCELLED",
        [
            Edit(
                ending.give_back,
                "    if run.cancel_request_time_us is None:\n",
                "    if True:\n",
            )
        ],
    ),
    Mutant(
        "lease_over_by_the_wall_clock_alone",
        "that a lease is over takes two witnesses",
        [
            Edit(
                observation.Observer.over,
                "lease.expire_time_us < wall_us and self.silent(lease) >= lease.lost_after.total_seconds()",
                "lease.expire_time_us < wall_us",
            )
        ],
    ),
    # Faults that the simulation found in production code, put back.
    Mutant(
        "rewind_below_what_was_acknowledged_ignored",
        "a rewind is followed also below what was acknowledged",
        [Edit(shipping.Feed.acknowledged, "        self.window.committed = committed\n", "        pass\n")],
    ),
    Mutant(
        "fallen_back_database_unnoticed",
        "a session whose commit is gone begins anew",
        [Edit(heartbeats.beat, "before.last_seen_us < seen_us:\n", "False:\n")],
    ),
    Mutant(
        "gone_grant_unnoticed",
        "a session that holds a lease whose grant is gone begins anew",
        [Edit(heartbeats.beat, "    if not named.keys() >= set(heartbeat.lease_ids):\n", "    if False:\n")],
    ),
    Mutant(
        "kept_attempt_never_judged_again",
        "what is kept is fenced once its run has gone on without it",
        [Edit(heartbeats.beat, "    fences += _overtaken(tx, runner_id, kept, locked)\n", "")],
    ),
    Mutant(
        "kept_attempt_of_an_ended_run",
        "what is kept is fenced once its run has ended",
        [Edit(hello.judge, "        if run.state in TERMINAL:\n", "        if False:\n")],
    ),
    # Rules beyond those of the protocol between runner and orchestrator.
    Mutant(
        "no_stop_of_its_own",
        "a runner that is cut off stops an attempt before the next one may be granted",
        [Edit(lease.self_stop_time, "    if attempt >= max_attempts:\n", "    if True:\n")],
    ),
    Mutant(
        "slots_not_counted",
        "a slot is a live lease",
        [
            Edit(
                dispatcher._rooms,
                "        free = runner.slots - len(runner.run_ids)",
                "        free = runner.slots + 2",
            )
        ],
    ),
    Mutant(
        "folder_not_flushed_before_the_start",
        "an attempt's folder is on the disk before its process starts",
        [Edit(attempt_folder.make, "        files.flush_folder(folder.parent)\n", "")],
    ),
)
