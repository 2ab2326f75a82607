"""How long to wait before the next try."""

import random
from dataclasses import dataclass, field


@dataclass
class Backoff:
    """Pauses in seconds that double up to a longest one, each spread at random so that many do not come at once."""

    first: float
    most: float
    chance: random.Random = field(default_factory=random.Random)
    _tries: int = 0

    def next(self) -> float:
        """The pause before the next try: between half and all of what the number of tries makes it."""
        pause = min(self.most, self.first * 2 ** min(self._tries, 32))
        self._tries += 1
        return pause * self.chance.uniform(0.5, 1.0)

    def reset(self) -> None:
        """It worked."""
        self._tries = 0
