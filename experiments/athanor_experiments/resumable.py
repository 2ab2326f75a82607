"""Pieces of work with a checkpoint after each, so that no later attempt repeats one that was finished."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from athanor.experiment import RunContext

from athanor_experiments.models import ModelError
from athanor_experiments.parallel import work_through


class Piece(Protocol):
    """One thing to do, of a list."""

    @property
    def index(self) -> int:
        """Its place in the list of all, from 0."""
        ...


PieceT = TypeVar("PieceT", bound=Piece)
OutcomeT = TypeVar("OutcomeT")


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

    What failed for a reason that may pass, such as an outage, is not finished: its results come last, behind the last
    checkpoint, so that they do not count any more when a later attempt does it again.
    """

    def __init__(self, ctx: RunContext[Any], pieces: int) -> None:
        self._ctx = ctx
        # None for what is still to do.
        self._outcomes: list[OutcomeT | None] = ctx.restored["outcomes"] if ctx.restored else [None] * pieces
        self.done_before = sum(outcome is not None for outcome in self._outcomes)
        self.errors: list[ModelError] = []  # of this attempt, in order

    async def do(
        self, pieces: Sequence[PieceT], work: Callable[[PieceT], Awaitable[Done[OutcomeT]]], *, parallelism: int
    ) -> list[OutcomeT]:
        """Do what is left of all pieces, in this order, at most `parallelism` at a time.

        Returns the outcomes of all, those that are not finished included, by the places of the pieces. Raises
        RunCancelled, and what `work` raises.
        """
        ctx = self._ctx
        unfinished: dict[int, Done[OutcomeT]] = {}

        async def once(piece: PieceT) -> None:
            done = await work(piece)
            self.errors.extend(done.errors)
            if not done.finished:
                unfinished[piece.index] = done
                return
            # Recorded together when all of it is there. Nothing is awaited, so nobody else's checkpoint comes between.
            for key, value in done.results:
                ctx.result(key, value)
            self._outcomes[piece.index] = done.outcome
            ctx.checkpoint({"outcomes": self._outcomes})

        todo = [piece for piece in pieces if self._outcomes[piece.index] is None]
        await work_through(ctx, todo, once, parallelism=parallelism, done=self.done_before)

        for done in unfinished.values():
            for key, value in done.results:
                ctx.result(key, value)
        known = [unfinished[at].outcome if at in unfinished else one for at, one in enumerate(self._outcomes)]
        return [outcome for outcome in known if outcome is not None]
