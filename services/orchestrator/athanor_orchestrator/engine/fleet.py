"""The runners, for operators. Their sessions are another matter: see `sessions`."""

from athanor_orchestrator.domain.errors import NotFound
from athanor_orchestrator.domain.records import Runner
from athanor_orchestrator.engine.listing import gather, size_of
from athanor_orchestrator.storage import runners
from athanor_orchestrator.storage.database import Database
from athanor_orchestrator.storage.pages import Page
from athanor_orchestrator.storage.transaction import Transaction

LISTED_FOR_US = 24 * 3600 * 1_000_000  # a runner that was not seen for longer is left out of lists


class Fleet:
    """Reads runners."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, runner_id: str) -> Runner:
        """Return one runner. Raises NotFound."""
        runner = await self._database.read(lambda tx: runners.get_runner(tx, runner_id))
        if runner is None:
            raise NotFound("runner", runner_id)
        return runner

    async def page(self, after_id: str, limit: int) -> Page[Runner]:
        """Return one page of the runners seen in the last day, in the order of their ids."""

        def query(tx: Transaction) -> Page[Runner]:
            since = tx.now_us - LISTED_FOR_US
            return gather(
                lambda after, count: runners.list_runners(tx, after, count, since),
                after_id,
                key=lambda runner: runner.id,
                size=lambda runner: size_of(runner.display_name, runner.version, *runner.experiments, *runner.run_ids),
                limit=limit,
            )

        return await self._database.read(query)
