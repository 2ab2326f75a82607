"""What Ray is measured by; runs in its own environment."""

import asyncio
import json
import os
import shlex
import sys
import time

import talk
from ray.job_submission import JobSubmissionClient

ENDS = ("SUCCEEDED", "FAILED", "STOPPED")


def main() -> None:
    """One command."""
    command, wanted = talk.task()
    match command:
        case "write":
            # The job prints; this program only submits it.
            client = JobSubmissionClient(wanted["address"])
            job = client.submit_job(entrypoint=entrypoint("job", wanted))
            talk.say(run=job)
            while not os.path.exists(wanted["out"]):
                time.sleep(0.05)
        case "job":
            flush = wanted["way"] == "print"
            talk.write(wanted, lambda number: print(talk.message(number), flush=flush), sys.stdout.flush)
        case "read" | "follow":
            asyncio.run(follow(command, wanted))
        case "count":
            talk.say(count=total(JobSubmissionClient(wanted["address"]), wanted["run"]))
        case "start":  # a job that rests, or ends at once
            client = JobSubmissionClient(wanted["address"])
            jobs = []
            for path in wanted["marks"]:
                begin = time.monotonic()
                jobs.append(client.submit_job(entrypoint=entrypoint("begin", {"mark": path, "rest": wanted["rest"]})))
                talk.say(run=jobs[-1], at=begin)
                wait_for(path)
        case "begin":
            talk.mark(wanted["mark"])
            if wanted["rest"]:
                talk.rest()
        case "tasks":
            tasks(wanted)
        case "watch":
            client = JobSubmissionClient(wanted["address"])
            talk.watch_state(
                lambda: str(client.get_job_status(wanted["run"])), lambda state: state in ENDS, wanted["seconds"]
            )
        case _:
            raise SystemExit(f"no command {command}")


def entrypoint(command: str, wanted: dict) -> str:
    """How this program is started as a job."""
    return shlex.join([sys.executable, os.path.abspath(__file__), command, json.dumps(wanted)])


def wait_for(path: str) -> None:
    """Return once user code has begun."""
    while not os.path.exists(path):
        time.sleep(0.002)


def tasks(wanted: dict) -> None:
    """Launch tasks, each in a worker process of its own."""
    import ray

    ray.init(address=wanted["cluster"], log_to_driver=False)

    # A worker takes one call and is gone: the next one has a clean process.
    @ray.remote(max_calls=1)
    def begin(path: str) -> None:
        talk.mark(path)

    for path in wanted["marks"]:
        at = time.monotonic()
        done = begin.remote(path)
        talk.say(at=at)
        ray.get(done)


async def follow(command: str, wanted: dict) -> None:
    """The stream of a job's output that the dashboard gives out."""
    client = JobSubmissionClient(wanted["address"])
    arrivals = talk.Arrivals(wanted["count"])
    talk.say(ready=True)
    rest, over = "", False
    async for piece in client.tail_job_logs(wanted["run"]):
        *lines, rest = (rest + piece).split("\n")
        for line in lines:
            over = arrivals.add(talk.number_in(line))
        if over:
            break
    if command == "read" and total(client, wanted["run"]) < wanted["count"]:
        raise SystemExit("the stream had more than the log has")
    arrivals.tell(each=command == "follow")


def total(client: JobSubmissionClient, job: str) -> int:
    """How many records are there."""
    try:
        text = client.get_job_logs(job)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 0
    return len({number for line in text.splitlines() if (number := talk.number_in(line)) is not None})


if __name__ == "__main__":
    main()
