"""Strengths by the model of Bradley and Terry: i beats j with probability p_i / (p_i + p_j).

R. A. Bradley and M. E. Terry, "Rank analysis of incomplete block designs", Biometrika 39, 1952. The likelihood has one
maximum if and only if from each player one gets to each other along wins (L. R. Ford, "Solution of a ranking problem
from binary comparisons", American Mathematical Monthly 64, 1957); this is checked. A tie is half a win for both.

It is made greatest by Newton's steps, which are shortened far from the maximum as T. Sun and Q. Tran-Dinh say,
"Generalized self-concordant functions: a recipe for Newton-type methods", Mathematical Programming 178, 2019: so they
lead there from everywhere.
"""

import math
from collections.abc import Sequence

Wins = Sequence[Sequence[float]]
"""wins[i][j]: how often i beat j, ties as halves."""

TOLERANCE = 1e-9  # of the natural logarithms of the strengths
MOST_STEPS = 1000


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

    logs, moved = [0.0 for _ in players], 0.0
    for _ in range(MOST_STEPS):
        step = _newton_step(counted, logs)
        moved = max(step) - min(step)
        share = math.log1p(moved) / moved if moved > 0 else 1.0
        logs = [value + share * by for value, by in zip(logs, step, strict=True)]
        if moved < TOLERANCE:
            center = math.fsum(logs) / len(logs)
            return [value - center for value in logs]
    raise ArithmeticError(f"the strengths still moved by {moved:g} after {MOST_STEPS} steps")


def _newton_step(wins: Wins, logs: Sequence[float]) -> list[float]:
    """What the whole step of Newton's method adds to the logarithms of the strengths; to the first of them nothing."""
    others = range(1, len(wins))
    # How likely i is to beat j. Each from its own difference, not as 1 minus the other: near 1 that would lose digits.
    likely = [[1 / (1 + math.exp(min(there - here, 700.0))) for there in logs] for here in logs]
    # The gradient of the logarithm of the likelihood, and the negative of its second derivatives: equations to solve.
    right = [math.fsum(wins[i][j] * likely[j][i] - wins[j][i] * likely[i][j] for j in range(len(wins))) for i in others]
    weights = [[(wins[i][j] + wins[j][i]) * likely[i][j] * likely[j][i] for j in range(len(wins))] for i in others]
    left = [
        [math.fsum(row[k] for k in range(len(wins)) if k != i) if i == j else -row[j] for j in others]
        for i, row in zip(others, weights, strict=True)
    ]
    return [0.0, *_solved(left, right)]


def _solved(left: list[list[float]], right: list[float]) -> list[float]:
    """Solve linear equations by elimination, without pivots: the diagonal outweighs the rest of its row."""
    size = len(right)
    for at in range(size):
        for below in range(at + 1, size):
            factor = left[below][at] / left[at][at]
            for column in range(at + 1, size):
                left[below][column] -= factor * left[at][column]
            right[below] -= factor * right[at]
    for at in reversed(range(size)):
        known = math.fsum(left[at][column] * right[column] for column in range(at + 1, size))
        right[at] = (right[at] - known) / left[at][at]
    return right


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
