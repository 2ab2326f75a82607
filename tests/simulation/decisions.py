"""What chance decides in a simulated world, and the record of it.

Every decision has a name and a number: the third commit of orchestrator 1, the seventh message from runner 2. What is
decided depends on the seed, the name and the number alone, so that one decision more in one place changes none in
another. What was decided against the ordinary is the trace: a list that says a failure by what happened, that can be
shortened by leaving things out, and that still means the same when the code around it has changed.
"""

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

Key = tuple[str, int]

_ORDINARY = 0.7  # of all delays
_64_BITS = (1 << 64) - 1


class Decisions(Protocol):
    """Decides, and remembers what was out of the ordinary."""

    def happens(self, name: str, chance: float) -> bool:
        """Does this one happen? Ordinarily not."""
        ...

    def delay(self, name: str, ordinary: float, longest: float) -> float:
        """Seconds that something takes: mostly what is ordinary, now and then up to the longest."""
        ...

    def pick(self, name: str, count: int) -> int:
        """One of `count` things; ordinarily the first."""
        ...


@dataclass
class Trace:
    """What was decided against the ordinary, by name and number."""

    choices: dict[Key, Any] = field(default_factory=dict[Key, Any])

    def write(self, path: Path, **about: object) -> None:
        """Keep it, a line a decision."""
        lines = [json.dumps([name, number, value]) for (name, number), value in self.choices.items()]
        head = json.dumps(about, indent=1)[:-2]
        path.write_text(head + ',\n "decisions": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n")

    @classmethod
    def read(cls, path: Path) -> tuple["Trace", dict[str, Any]]:
        """Return a kept trace and what was written about it."""
        document = json.loads(path.read_text())
        choices = {(name, number): value for name, number, value in document.pop("decisions")}
        return cls(choices), document

    def without(self, keys: Sequence[Key]) -> "Trace":
        """The same with some decisions as they ordinarily are."""
        gone = set(keys)
        return Trace({key: value for key, value in self.choices.items() if key not in gone})


class Drawn:
    """Decisions drawn from a seed."""

    def __init__(self, seed: int, intensity: Mapping[str, float] | None = None) -> None:
        """`intensity` multiplies the chances of the names that begin so: worlds differ in what goes wrong in them."""
        self.trace = Trace()
        self._seed = seed
        self._counts: Counter[str] = Counter()
        self._intensity = dict(intensity or {})
        self._factors: dict[str, float] = {}
        self._starts: dict[str, int] = {}  # by name

    def happens(self, name: str, chance: float) -> bool:
        factor = self._factors.get(name)
        if factor is None:
            factor = self._factors[name] = next(
                (value for prefix, value in self._intensity.items() if name.startswith(prefix)), 1.0
            )
        key, draw = self._draw(name)
        if draw >= chance * factor:
            return False
        self.trace.choices[key] = True
        return True

    def delay(self, name: str, ordinary: float, longest: float) -> float:
        key, draw = self._draw(name)
        if draw < _ORDINARY:
            return ordinary
        # Most of what is late is a little late.
        value = round(ordinary + (longest - ordinary) * ((draw - _ORDINARY) / (1 - _ORDINARY)) ** 3, 6)
        self.trace.choices[key] = value
        return value

    def pick(self, name: str, count: int) -> int:
        key, draw = self._draw(name)
        value = int(draw * count)
        if value:
            self.trace.choices[key] = value
        return value

    def _draw(self, name: str) -> tuple[Key, float]:
        number = self._counts[name]
        self._counts[name] = number + 1
        start = self._starts.get(name)
        if start is None:
            start = self._starts[name] = hash_of(f"{self._seed}/{name}")
        # The finish of SplitMix64 (Steele, Lea and Flood, 2014): each number of a name is drawn by itself.
        mixed = (start + (number + 1) * 0x9E3779B97F4A7C15) & _64_BITS
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _64_BITS
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _64_BITS
        return (name, number), (mixed ^ (mixed >> 31)) / 2**64


class Replayed:
    """Decisions as a trace has them, and the ordinary for all else."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._counts: Counter[str] = Counter()
        self.used: set[Key] = set()

    def happens(self, name: str, chance: float) -> bool:
        return bool(self._look_up(name, False))

    def delay(self, name: str, ordinary: float, longest: float) -> float:
        return float(self._look_up(name, ordinary))

    def pick(self, name: str, count: int) -> int:
        return min(int(self._look_up(name, 0)), count - 1)

    def _look_up(self, name: str, ordinary: Any) -> Any:
        number = self._counts[name]
        self._counts[name] = number + 1
        key = name, number
        if key in self.trace.choices:
            self.used.add(key)
            return self.trace.choices[key]
        return ordinary


def hash_of(text: str) -> int:
    """64 bits that depend on every character, the same in every process."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())


def intensities(seed: int) -> dict[str, float]:
    """How much goes wrong in the world of a seed, by kind of fault: some have little of anything, some much of one."""
    chance = random.Random(seed)
    kinds = (
        "crash",
        "cut",
        "clock",
        "pause",
        "wake",
        "database",
        "power",
        "process",
        "restore",
        "disk",
        "cancel",
        "long",
    )
    level = chance.choice((0.0, 0.5, 1.0, 1.0, 2.0))
    return {kind: level * chance.choice((0.0, 0.3, 1.0, 1.0, 3.0)) for kind in kinds}
