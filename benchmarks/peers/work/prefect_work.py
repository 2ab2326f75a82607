"""What Prefect is measured by; runs in its own environment."""

import time
from uuid import UUID

import talk
from prefect import flow, get_client, get_run_logger
from prefect.client.schemas.actions import LogCreate
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.sorting import LogSort
from prefect.deployments import run_deployment
from prefect.runtime import flow_run
from prefect.types import DateTime

BATCH = 1000
PAGE = 200  # the server gives no more at once
POOL = "peers"


@flow(log_prints=False)
def told(wanted: dict) -> None:
    """The flow that is measured: writes what it is told to."""
    talk.say(run=str(flow_run.id))
    logger = get_run_logger()
    if wanted["way"] == "logger":
        talk.write(wanted, lambda number: logger.info(talk.message(number)))
        return

    # The client's own method for many logs at once.
    gathered: list[LogCreate] = []
    with get_client(sync_client=True) as client:

        def record(number: int) -> None:
            gathered.append(
                LogCreate(
                    name="told",
                    level=20,
                    message=talk.message(number),
                    timestamp=DateTime.now("UTC"),
                    flow_run_id=UUID(str(flow_run.id)),
                )
            )
            if len(gathered) == BATCH:
                send()

        def send() -> None:
            if gathered:
                client.create_logs(gathered)
                gathered.clear()

        talk.write(wanted, record, send)


@flow
def resting(mark: str, rest: bool) -> None:
    """The flow of a deployment."""
    talk.mark(mark)
    if rest:
        talk.rest()


def main() -> None:
    """One command."""
    command, wanted = talk.task()
    match command:
        case "write":
            told(wanted)
        case "read":
            with get_client(sync_client=True) as client:
                talk.until_all_are_there(
                    wanted["count"], lambda: last(client, wanted["run"]), lambda: total(client, wanted["run"])
                )
        case "follow":
            with get_client(sync_client=True) as client:
                talk.follow_by_asking(wanted["count"], lambda: last(client, wanted["run"]))
        case "count":
            with get_client(sync_client=True) as client:
                talk.say(count=total(client, wanted["run"]))
        case "deploy":
            resting.from_source(source=wanted["source"], entrypoint="prefect_work.py:resting").deploy(
                name="peers", work_pool_name=POOL, build=False, push=False, print_next_steps=False
            )
            talk.say(deployed=True)
        case "start":
            at = time.monotonic()
            started = run_deployment(
                "resting/peers",
                parameters={"mark": wanted["mark"], "rest": wanted["rest"]},
                timeout=0,
                as_subflow=False,
            )
            talk.say(run=str(started.id), at=at)
        case "watch":
            with get_client(sync_client=True) as client:
                talk.watch_state(
                    lambda: client.read_flow_run(UUID(wanted["run"])).state.name,
                    lambda state: state in ("Crashed", "Failed", "Completed", "Cancelled"),
                    wanted["seconds"],
                )
        case _:
            raise SystemExit(f"no command {command}")


def of_run(run: str) -> LogFilter:
    """The logs of a flow run."""
    return LogFilter(flow_run_id=LogFilterFlowRunId(any_=[UUID(run)]))


def last(client, run: str) -> int:
    """The number of the newest record."""
    newest = client.read_logs(of_run(run), limit=5, sort=LogSort.TIMESTAMP_DESC)
    return max((number for log in newest if (number := talk.number_in(log.message)) is not None), default=-1)


def total(client, run: str) -> int:
    """How many records are there."""
    found: set[int] = set()
    offset = 0
    while True:
        page = client.read_logs(of_run(run), limit=PAGE, offset=offset, sort=LogSort.TIMESTAMP_ASC)
        found.update(number for log in page if (number := talk.number_in(log.message)) is not None)
        if len(page) < PAGE:
            return len(found)
        offset += PAGE


if __name__ == "__main__":
    main()
