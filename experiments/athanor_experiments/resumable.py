"""Pieces of work with checkpoints among them, so that a later attempt goes on behind the last one.

Up to MOST_CHECKPOINTS pieces have one each; of more, each checkpoint covers as many as make that number of them. As
many are repeated after a kill at most, and what was under way. One for each of thousands would make the log grow with
the square of their number, as every one has the outcomes of all.
"""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from athanor.experiment import RunContext

from athanor_experiments.models import ModelError, NoAnswersError
from athanor_experiments.parallel import work_through


class Piece(Protocol):
    """One thing to do, of a list."""

    @property
    def index(self) -> int:
        """Its place in the list of all, from 0."""
        ...


PieceT = TypeVar("PieceT", bound=Piece)
OutcomeT = TypeVar("OutcomeT")

MOST_CHECKPOINTS = 200
"""Of one attempt, beside that of its end."""


@dataclass(frozen=True, slots=True)
class Done(Generic[OutcomeT]):
    """What came of a piece."""

    outcome: OutcomeT  # what is needed of it at the end: JSON, and small, as it is in every checkpoint from then on
    results: Sequence[tuple[str, Any]]  # by their keys
    errors: Sequence[ModelError] = ()

    @property
    def finished(self) -> bool:
        """Whether no error of it may be otherwise at another time."""
        return not any(error.passing for error in self.errors)


class Resumable(Generic[OutcomeT]):
    """The outcomes of so many pieces, those of earlier attempts first.

    The results of pieces are recorded together with the checkpoint that covers them; also when the run is cancelled, or
    ends by an error. What failed for a reason that may pass, such as an outage, is not finished: its results come last,
    behind the last checkpoint, so that they do not count any more when a later attempt does it again.
    """

    def __init__(self, ctx: RunContext[Any], pieces: int) -> None:
        self._ctx = ctx
        # None for what is still to do.
        self._outcomes: list[OutcomeT | None] = ctx.restored["outcomes"] if ctx.restored else [None] * pieces
        self._together = math.ceil(pieces / MOST_CHECKPOINTS)
        self._uncovered: dict[int, Done[OutcomeT]] = {}  # finished, and in no checkpoint yet
        self.done_before = sum(outcome is not None for outcome in self._outcomes)
        self.errors: list[ModelError] = []  # of this attempt, in order

    async def do(
        self, pieces: Sequence[PieceT], work: Callable[[PieceT], Awaitable[Done[OutcomeT]]], *, parallelism: int
    ) -> list[OutcomeT]:
        """Do what is left of all pieces, in this order, at most `parallelism` at a time.

        Returns the outcomes of all, those that are not finished included, by the places of the pieces. Raises
        RunCancelled, what `work` raises, and NoAnswersError when some are not finished and the run has attempts left,
        as another one is made of what failed, and of nothing that completed.
        """
        unfinished: dict[int, Done[OutcomeT]] = {}

        async def once(piece: PieceT) -> None:
            done = await work(piece)
            self.errors.extend(done.errors)
            if not done.finished:
                unfinished[piece.index] = done
                return
            self._uncovered[piece.index] = done
            if len(self._uncovered) >= self._together:
                self._cover()

        todo = [piece for piece in pieces if self._outcomes[piece.index] is None]
        try:
            await work_through(self._ctx, todo, once, parallelism=parallelism, done=self.done_before)
        finally:
            self._cover()
            for done in unfinished.values():
                self._record(done)
        self._leave_to_the_next_attempt(unfinished)
        known = [unfinished[at].outcome if at in unfinished else one for at, one in enumerate(self._outcomes)]
        return [outcome for outcome in known if outcome is not None]

    def _cover(self) -> None:
        """Record what is finished, and the checkpoint. Nothing is awaited, so nobody else's comes between."""
        uncovered, self._uncovered = self._uncovered, {}
        if not uncovered:
            return
        for at, done in uncovered.items():
            self._record(done)
            self._outcomes[at] = done.outcome
        self._ctx.checkpoint({"outcomes": self._outcomes})

    def _record(self, done: Done[OutcomeT]) -> None:
        for key, value in done.results:
            self._ctx.result(key, value)

    def _leave_to_the_next_attempt(self, unfinished: Mapping[int, Done[OutcomeT]]) -> None:
        run = self._ctx.run
        if not unfinished or run.attempt >= run.max_attempts:
            return
        last = [error for error in self.errors if error.passing][-1]
        raise NoAnswersError(
            f"{len(unfinished)} of {len(self._outcomes)} failed for a reason that may pass, and are tried again by the "
            f"next attempt; the last one: {last}"
        )
