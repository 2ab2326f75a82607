"""Many who watch one run, as bare gRPC readers in one process: `many_readers.py TARGET RUN_ID WATCHERS SECONDS`.

Their own cost must not be what is measured. So a message is not decoded for each of them: it is known again by its
length, its beginning and its end, and decoded once. How old its events were, by the machine's clock, is worked out when
all is over.

For SECONDS all of them read; then every other one stops reading, its stream left open, and after a moment that does
not count the others read on for SECONDS. Prints `begun`, `all`, `half` as these begin and end, and at the end a line of
JSON.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import grpc.aio
from athanor.v1 import run_service_pb2 as pb

SETTLING = 3.0  # seconds that do not count: until all of them have caught up
EDGE = 64  # bytes of beginning and end


@dataclass
class Phase:
    """What came while it lasted: when by the monotonic clock, and the moments of the events in it."""

    begin: float = 0.0
    end: float = 0.0
    came: list[tuple[int, tuple[int, ...]]] = field(default_factory=list[tuple[int, tuple[int, ...]]])

    def report(self, readers: int) -> dict[str, float]:
        """Deliveries, messages and ages in milliseconds."""
        ages: Counter[int] = Counter()
        for now, moments in self.came:
            for moment in moments:
                ages[(now - moment) // 100_000] += 1
        seconds = self.end - self.begin
        return {
            "readers": readers,
            "deliveries_per_second": ages.total() / seconds,
            "messages_per_second": len(self.came) / seconds,
            "p50": _share(ages, 0.50),
            "p95": _share(ages, 0.95),
        }


def _share(ages: Counter[int], share: float) -> float:
    left = share * ages.total()
    for age in sorted(ages):
        left -= ages[age]
        if left <= 0:
            return age / 10
    return float("nan")


class Readers:
    """The watchers, and what they have in common."""

    def __init__(self) -> None:
        self.phase: Phase | None = None  # None: what comes does not count
        self.flowing = asyncio.Event()  # the first log entry has come
        self._known: dict[tuple[int, bytes, bytes], tuple[int, ...]] = {}

    async def read(self, channel: grpc.aio.Channel, run_id: str, may_read: asyncio.Event) -> None:
        """Follow the run."""
        request = pb.WatchRunRequest(id=run_id).SerializeToString()
        call = channel.unary_stream("/athanor.v1.RunService/WatchRun")(request)
        while True:
            message = await call.read()
            if message is grpc.aio.EOF:
                return
            moments = self._moments(message)
            if moments and self.phase is not None:
                self.phase.came.append((time.monotonic_ns(), moments))
            if not may_read.is_set():
                await may_read.wait()

    def _moments(self, message: bytes) -> tuple[int, ...]:
        key = (len(message), message[:EDGE], message[-EDGE:])
        moments = self._known.get(key)
        if moments is None:
            if len(self._known) > 10_000:
                self._known.clear()
            events = pb.WatchRunResponse.FromString(message).batch.events
            moments = tuple(json.loads(event.log.metadata_json)["at"] for event in events if event.HasField("log"))
            self._known[key] = moments
            if moments:
                self.flowing.set()
        return moments


async def main(target: str, run_id: str, watchers: int, seconds: float) -> None:
    """Watch, and say what came."""
    readers = Readers()
    options = (("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1))
    # Those that stop reading do so on connections of their own: else theirs would be what holds up the others'.
    channels = [grpc.aio.insecure_channel(target, options) for _ in range(2)]
    gates = [asyncio.Event() for _ in range(watchers)]
    for gate in gates:
        gate.set()
    tasks = [
        asyncio.create_task(readers.read(channels[number % 2], run_id, gate), name=f"reader {number}")
        for number, gate in enumerate(gates)
    ]
    await readers.flowing.wait()
    await asyncio.sleep(SETTLING)

    phases: list[Phase] = []
    for name in ("all", "half"):
        print("begun", flush=True)
        phase = Phase(time.monotonic())
        readers.phase = phase
        await asyncio.sleep(seconds)
        readers.phase = None
        phase.end = time.monotonic()
        phases.append(phase)
        print(name, flush=True)
        if name == "all":
            for gate in gates[1::2]:
                gate.clear()
            await asyncio.sleep(SETTLING)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    failed = [task.exception() for task in tasks if not task.cancelled() and task.exception() is not None]
    if failed:
        raise RuntimeError(f"{len(failed)} watchers failed: {failed[0]}")
    print(json.dumps([phases[0].report(watchers), phases[1].report(watchers - watchers // 2)]), flush=True)
    for channel in channels:
        await channel.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
