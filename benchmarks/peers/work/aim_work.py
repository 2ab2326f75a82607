"""What Aim is measured by; runs in its own environment."""

import talk
from aim import Repo, Run
from aim.storage.context import Context


def main() -> None:
    """One command."""
    command, wanted = talk.task()
    match command:
        case "write":
            run = Run(repo=wanted["address"])
            talk.say(run=run.hash)
            talk.write(
                wanted,
                lambda number: run.track({"epoch": number, "loss": talk.loss(number)}, step=number),
                run.close if wanted["close"] else None,
            )
        case "read":
            talk.until_all_are_there(wanted["count"], lambda: last(wanted), lambda: total(wanted))
        case "follow":
            talk.follow_by_asking(wanted["count"], lambda: last(wanted))
        case "count":
            talk.say(count=total(wanted))
        case "begin":
            run = Run(repo=wanted["address"])
            talk.mark(wanted["mark"])
            talk.say(run=run.hash)
            if wanted["rest"]:
                talk.rest()
        case "watch":
            talk.watch_state(
                lambda: "active" if opened(wanted).active else "ended",
                lambda state: state == "ended",
                wanted["seconds"],
            )
        case _:
            raise SystemExit(f"no command {command}")


def opened(wanted: dict) -> Run:
    """The run as another process sees it now: in the repository, where `aim up` keeps the index of live runs."""
    return Run(wanted["run"], repo=Repo(wanted["repository"]), read_only=True)


def values(wanted: dict, key: str) -> list[float]:
    """What can be read of a metric."""
    metric = opened(wanted).get_metric(key, Context({}))
    return [] if metric is None else list(metric.values.sparse_list()[1])


def last(wanted: dict) -> int:
    """The number of the newest record."""
    return int(max(values(wanted, "epoch"), default=-1))


def total(wanted: dict) -> int:
    """How many records are there whole."""
    return min(len(set(values(wanted, "epoch"))), len(values(wanted, "loss")))


if __name__ == "__main__":
    main()
