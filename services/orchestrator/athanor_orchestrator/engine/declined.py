"""Which runner declined which run lately: the dispatcher passes it over for a while."""

import asyncio


class Declined:
    """Declines of the last `keep` seconds. Memory only: forgetting one costs an assignment that is declined again."""

    def __init__(self, keep: float) -> None:
        self._keep = keep
        self._until: dict[tuple[str, str], float] = {}  # by run and runner, by the loop's clock

    def add(self, run_id: str, runner_id: str) -> None:
        """Remember that a runner does not take a run."""
        self._until[run_id, runner_id] = asyncio.get_running_loop().time() + self._keep

    def current(self) -> dict[str, frozenset[str]]:
        """Return, by run, the runners to pass over now; forgets what is past."""
        now = asyncio.get_running_loop().time()
        self._until = {pair: until for pair, until in self._until.items() if until > now}

        runners: dict[str, set[str]] = {}
        for run_id, runner_id in self._until:
            runners.setdefault(run_id, set()).add(runner_id)
        return {run_id: frozenset(ids) for run_id, ids in runners.items()}
