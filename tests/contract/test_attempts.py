"""Attempts as a run shows them: all of them, however many, in an answer that can be sent."""

from athanor_orchestrator.domain.policy import resolve
from athanor_orchestrator.domain.records import AttemptOutcome, Failure, FailureKind, Policy
from athanor_orchestrator.rpc import convert
from athanor_orchestrator.storage import attempts, runs
from athanor_orchestrator.storage.attempts import DETAILED
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.transaction import Transaction

from tests.support.rows import a_stored_run, an_attempt, get

RECEIVED = 4 << 20  # bytes that a client takes by default


def raised(number: int, detail: str) -> Failure:
    return Failure(FailureKind.EXCEPTION, f"ValueError: {number} " + "m" * 1000, detail)


async def test_a_run_of_a_thousand_long_tracebacks_can_still_be_sent(database: Database) -> None:
    run = await a_stored_run(
        database, configuration_json='"' + "c" * (256 << 10) + '"', policy=resolve(Policy(max_attempts=1000))
    )

    def fail_a_thousand_times(tx: Transaction) -> None:
        for number in range(1, 1001):
            made = an_attempt(number=number, outcome=AttemptOutcome.FAILED, failure=raised(number, "ü" * 32_000))
            attempts.insert_attempt(tx, run.id, f"lease {number}", made)
        runs.update_run(tx, run.id, attempt_count=1000, failure=raised(1000, "ü" * 32_000))

    await database.write(fail_a_thousand_times)
    shown = await get(database, run)
    failures = [attempt.failure for attempt in shown.attempts if attempt.failure is not None]
    assert [failure.message.split()[1] for failure in failures] == [str(number) for number in range(1, 1001)]
    assert [len(failure.detail) for failure in failures] == [0] * (1000 - DETAILED) + [32_000] * DETAILED
    assert convert.run(shown).ByteSize() < RECEIVED

    page = await database.read(lambda tx: runs.list_runs(tx, limit=1, full=True))
    assert page.items == [shown]


async def test_few_attempts_have_all_that_is_known_of_their_failures(database: Database) -> None:
    run = await a_stored_run(database, attempt_count=DETAILED)

    def fail(tx: Transaction) -> None:
        for number in range(1, DETAILED + 1):
            made = an_attempt(number=number, outcome=AttemptOutcome.FAILED, failure=raised(number, f"trace {number}"))
            attempts.insert_attempt(tx, run.id, f"lease {number}", made)

    await database.write(fail)
    assert [one.failure.detail for one in (await get(database, run)).attempts if one.failure] == [
        f"trace {number}" for number in range(1, DETAILED + 1)
    ]


async def test_a_detail_beyond_any_that_a_runner_sends_is_cut_beside_the_event(database: Database) -> None:
    run = await a_stored_run(database)
    await database.write(lambda tx: runs.update_run(tx, run.id, failure=raised(1, "x" * (1 << 20))))
    failure = (await get(database, run)).failure
    assert failure is not None
    assert len(failure.detail) == 64 << 10
