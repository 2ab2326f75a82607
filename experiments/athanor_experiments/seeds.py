"""Seeds made of the run's: one for each thing that is drawn, so that the order in which they happen does not matter."""

import hashlib

GREATEST = 2**31 - 1  # what chat APIs take


def derive(seed: int, *parts: object) -> int:
    """A seed from 0 to GREATEST, by the run's seed and the parts that name what it is for."""
    text = "/".join(map(str, (seed, *parts)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) % (GREATEST + 1)
