"""Athanor at work, from start to stop: `make demo`.

Starts orchestrator and runner with an embedded database in a temporary folder, runs the experiment `digits` as a user
would, prints what it found, and stops the system. The exit status says whether all of it went well.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ATHANOR = str(Path(sys.executable).parent / "athanor")
START_TIMEOUT = 60.0  # seconds
STOP_TIMEOUT = 60.0
NEXT = ("source .venv/bin/activate", "athanor new measure_pi", "athanor up --path measure_pi")


def main() -> int:
    """Run the demo; the exit status of the first thing that went wrong."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="athanor-demo-") as folder, started(Path(folder)) as target:
        say("The experiment: every classifier with every training-set size, ten times each")
        status = athanor(target, "run", "digits", "--name", "demo").returncode
        if status:
            return status

        (run,) = ask(target, "runs", "list", "--experiment", "digits")["runs"]
        say(f"Its results, as `athanor results {run['id']} --key summary --json` has them")
        (summary,) = ask(target, "results", run["id"], "--key", "summary")["results"]
        print_grid(summary["value"])
        results, fits = run["result_count"], summary["value"]["fits"]
        print(
            f"\n{results} results of {fits} fits, each with its confusion matrix, are in the database; so is the log."
        )
        say("Stopping")

    print(f"The demo took {time.monotonic() - begin:.0f} s. Next, an experiment of your own, as README.md goes on:")
    print("\n".join(f"$ {command}" for command in NEXT), flush=True)
    return 0


@contextmanager
def started(folder: Path) -> Iterator[str]:
    """`athanor up` on a free port; gives the address. It is ended as by Ctrl-C, and has to end well."""
    say("Starting orchestrator and runner: athanor up")
    log = folder / "up.log"
    with log.open("wb") as errors:
        up = subprocess.Popen(
            [ATHANOR, "up", "--listen", "127.0.0.1:0", "--data", str(folder / "data")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment(),
            # Ctrl-C at the demo ends what is in the foreground, and then the system in the right order.
            start_new_session=True,
        )
    try:
        yield wait_for_address(up, log)
    except BaseException:
        stop(up)
        raise
    if stop(up) != 0:
        raise SystemExit(f"athanor up ended with {up.returncode}:\n{log.read_text()}")


def wait_for_address(up: "subprocess.Popen[str]", log: Path) -> str:
    """Read what it says until it is ready."""
    assert up.stdout is not None
    # The system ends by itself when it cannot start; a hung one is ended here, which ends the reading below.
    signal.alarm(int(START_TIMEOUT))
    try:
        for line in up.stdout:
            print(f"  {line}", end="", flush=True)
            if match := re.search(r"ready at (\S+)", line):
                return match[1]
    finally:
        signal.alarm(0)
    raise SystemExit(f"athanor up did not start:\n{log.read_text()}")


def stop(up: "subprocess.Popen[str]") -> int:
    """What Ctrl-C does; SIGKILL when that is not enough."""
    if up.poll() is None:
        up.send_signal(signal.SIGINT)
    try:
        up.communicate(timeout=STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        up.kill()
        up.communicate()
    return up.returncode


def environment() -> dict[str, str]:
    """This one, without what would lead to another system."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ATHANOR_")}


def athanor(target: str, *arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    """The command as a user types it, shown before it is run."""
    print(f"$ athanor {' '.join(arguments)}", flush=True)
    return subprocess.run(
        [ATHANOR, *arguments], env=environment() | {"ATHANOR_TARGET": target}, text=True, check=False, **options
    )


def ask(target: str, *arguments: str) -> Any:
    """What the command prints with --json."""
    done = athanor(target, *arguments, "--json", stdout=subprocess.PIPE)
    if done.returncode:
        raise SystemExit(done.returncode)
    return json.loads(done.stdout)


def print_grid(summary: dict[str, Any]) -> None:
    """Mean accuracy with its confidence interval: a row for each classifier, a column for each training-set size."""
    cells = {(cell["classifier"], cell["training_size"]): cell for cell in summary["grid"]}
    sizes = sorted({size for _, size in cells})
    classifiers = list(dict.fromkeys(classifier for classifier, _ in cells))

    print(f"\n{'accuracy':<22}" + "".join(f"{f'{size} digits':<28}" for size in sizes).rstrip())
    for classifier in classifiers:
        row = "".join(f"{describe(cells[classifier, size]):<28}" for size in sizes)
        print(f"{classifier:<22}{row.rstrip()}")
    best = summary["best"]
    confidence = f"{best['confidence']:.0%} confidence interval over {best['fits']} fits"
    print(f"\nIn brackets: {confidence}. Best: {best['classifier']} with {best['training_size']} digits.")


def describe(cell: dict[str, Any]) -> str:
    """One cell of the grid."""
    if cell["interval"] is None:
        return f"{cell['mean']:.1%}"
    low, high = cell["interval"]
    return f"{cell['mean']:.1%} ({low:.1%} to {high:.1%})"


def say(text: str) -> None:
    """A heading."""
    print(f"\n--- {text}", flush=True)


def give_up(number: int, frame: object) -> None:
    """The alarm of `wait_for_address`."""
    raise SystemExit(f"athanor up was not ready within {START_TIMEOUT:.0f} s")


if __name__ == "__main__":
    signal.signal(signal.SIGALRM, give_up)
    sys.exit(main())
