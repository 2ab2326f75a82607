"""An experiment that keeps a ledger of its own: every line that it records it also writes to a file.

The file is what the database and every watcher are compared with. A line is written there after its event was recorded:
what is in the file has been recorded, and when the run completes the file has every line.
"""

import os
import time

from athanor.experiment import RunContext, experiment
from pydantic import BaseModel, Field


class Config(BaseModel):
    path: str
    count: int = Field(100_000, ge=1)
    per_second: float = Field(0, ge=0, description="0: as fast as it can")
    stop_file: str = Field("", description="End when this file exists, whatever the count")


@experiment(name="ledger")
def ledger(ctx: RunContext[Config]) -> None:
    config = ctx.config
    descriptor = os.open(config.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    start = time.monotonic()

    for number in range(1, config.count + 1):
        # Not all alike: lengths vary, and what is awkward to encode comes by as well.
        text = f"{number} " + "äß漢🔬\\\"'"[number % 8 :] + "." * (number % 97)
        if number % 10 == 0:
            ctx.result(f"key/{number % 7}", text)
        else:
            ctx.log("info", text)
        os.write(descriptor, text.encode() + b"\n")

        if config.per_second and (ahead := number / config.per_second - (time.monotonic() - start)) > 0.002:
            time.sleep(ahead)
        if config.stop_file and number % 50 == 0 and os.path.exists(config.stop_file):
            break
