"""What MLflow is measured by; runs in its own environment."""

import time

import mlflow
import talk
from mlflow import MlflowClient
from mlflow.entities import Metric

BATCH = 500  # records of two metrics each: log_batch takes 1000 metrics


def main() -> None:
    """One command."""
    command, wanted = talk.task()
    mlflow.set_tracking_uri(wanted["address"])
    client = MlflowClient()
    match command:
        case "write":
            write(client, wanted)
        case "read":
            talk.until_all_are_there(
                wanted["count"], lambda: last(client, wanted["run"]), lambda: total(client, wanted["run"])
            )
        case "follow":
            talk.follow_by_asking(wanted["count"], lambda: last(client, wanted["run"]))
        case "count":
            talk.say(count=total(client, wanted["run"]))
        case "begin":  # the run of a fresh process: launch, killed worker
            run = mlflow.start_run()
            talk.mark(wanted["mark"])
            talk.say(run=run.info.run_id)
            if wanted["rest"]:
                talk.rest()
        case "watch":
            talk.watch_state(
                lambda: client.get_run(wanted["run"]).info.status, lambda state: state == "FAILED", wanted["seconds"]
            )
        case _:
            raise SystemExit(f"no command {command}")


def write(client: MlflowClient, wanted: dict) -> None:
    """Log records as metrics; the message has no place."""
    run = mlflow.start_run().info.run_id
    talk.say(run=run)
    gathered: list[Metric] = []

    def plain(number: int) -> None:
        mlflow.log_metrics({"epoch": number, "loss": talk.loss(number)}, step=number)

    def asynchronous(number: int) -> None:
        mlflow.log_metrics({"epoch": number, "loss": talk.loss(number)}, step=number, synchronous=False)

    def batched(number: int) -> None:
        now = int(time.time() * 1000)
        gathered.append(Metric("epoch", number, now, number))
        gathered.append(Metric("loss", talk.loss(number), now, number))
        if len(gathered) == 2 * BATCH:
            send()

    def send() -> None:
        if gathered:
            client.log_batch(run, metrics=gathered)
            gathered.clear()

    match wanted["way"]:
        case "log_metrics":
            talk.write(wanted, plain)
        case "asynchronous":
            talk.write(wanted, asynchronous, mlflow.flush_async_logging)
        case "log_batch":
            talk.write(wanted, batched, send)


def last(client: MlflowClient, run: str) -> int:
    """The number of the newest record."""
    return int(client.get_run(run).data.metrics.get("epoch", -1))


def total(client: MlflowClient, run: str) -> int:
    """How many records are there whole."""
    histories = [client.get_metric_history(run, key) for key in ("epoch", "loss")]
    return len(set.intersection(*({metric.step for metric in history} for history in histories)))


if __name__ == "__main__":
    main()
