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
    """The run as another process sees it now."""
    return Run(wanted["run"], repo=Repo(wanted["address"]), read_only=True)


def steps(wanted: dict, key: str) -> list[int]:
    """The numbers of the records that can be read."""
    metric = opened(wanted).get_metric(key, Context({}))
    return [] if metric is None else [int(step) for step in metric.values.sparse_list()[0]]


def last(wanted: dict) -> int:
    """The number of the newest record."""
    metric = opened(wanted).get_metric("loss", Context({}))
    return -1 if metric is None or not metric else int(metric.values.last_step())


def total(wanted: dict) -> int:
    """How many records are there whole."""
    return len(set(steps(wanted, "epoch")) & set(steps(wanted, "loss")))


if __name__ == "__main__":
    main()
