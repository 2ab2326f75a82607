"""Strengths by the model of Bradley and Terry: i beats j with probability p_i / (p_i + p_j).

R. A. Bradley and M. E. Terry, "Rank analysis of incomplete block designs", Biometrika 39, 1952. The likelihood is made
greatest by the minorization-maximization algorithm of D. R. Hunter, "MM algorithms for generalized Bradley-Terry
models", The Annals of Statistics 32, 2004, equation (3). It has one maximum if and only if from each player one gets to
each other along wins (L. R. Ford, "Solution of a ranking problem from binary comparisons", American Mathematical
Monthly 64, 1957); this is checked. A tie is half a win for both.
"""

import math
from collections.abc import Sequence

Wins = Sequence[Sequence[float]]
"""wins[i][j]: how often i beat j, ties as halves."""

TOLERANCE = 1e-9  # of the natural logarithms of the strengths
MOST_STEPS = 100_000


class NotConnectedError(ValueError):
    """There is no greatest likelihood. `groups` are the players among whom there is one, by number."""

    def __init__(self, groups: list[list[int]]) -> None:
        super().__init__(f"the wins do not connect all players: {groups}")
        self.groups = groups


def log_strengths(wins: Wins, *, prior_wins: float = 0.0) -> list[float]:
    """The natural logarithms of the strengths, with mean 0.

    Args:
        wins: a square of numbers from 0. prior_wins: added in both directions between players that have met.

    A prior draws the strengths together, and makes them finite for somebody who always won. Raises NotConnectedError,
    and ArithmeticError when MOST_STEPS were not enough.
    """
    players = range(len(wins))
    met = [[wins[i][j] + wins[j][i] > 0 for j in players] for i in players]
    counted = [[wins[i][j] + (prior_wins if met[i][j] and i != j else 0.0) for j in players] for i in players]
    groups = connected_groups(counted)
    if len(groups) > 1:
        raise NotConnectedError(groups)

    won = [math.fsum(counted[i][j] for j in players if j != i) for i in players]
    games = [[counted[i][j] + counted[j][i] for j in players] for i in players]
    logs, moved = [0.0 for _ in players], math.inf
    for _ in range(MOST_STEPS):
        strengths = [math.exp(value) for value in logs]
        renewed = [
            math.log(won[i] / math.fsum(games[i][j] / (strengths[i] + strengths[j]) for j in players if j != i))
            if len(wins) > 1
            else 0.0
            for i in players
        ]
        center = math.fsum(renewed) / len(renewed)
        renewed = [value - center for value in renewed]
        moved = max(abs(new - old) for new, old in zip(renewed, logs, strict=True))
        logs = renewed
        if moved < TOLERANCE:
            return logs
    raise ArithmeticError(f"the strengths still moved by {moved:g} after {MOST_STEPS} steps")


def connected_groups(wins: Wins) -> list[list[int]]:
    """The players among whom one gets from each to each other along wins: one group, if all are connected."""
    players = range(len(wins))
    reached = [_reached(wins, start) for start in players]
    groups: list[list[int]] = []
    for one in players:
        group = [other for other in players if other in reached[one] and one in reached[other]]
        if group[0] == one:
            groups.append(group)
    return groups


def _reached(wins: Wins, start: int) -> set[int]:
    found, front = {start}, [start]
    while front:
        here = front.pop()
        further = [there for there, count in enumerate(wins[here]) if count > 0 and there not in found]
        found.update(further)
        front += further
    return found
