"""What large messages took is given back to the system: in an interpreter of its own, because it is told once."""

import subprocess
import sys

import pytest

# As deliveries come and go: large blocks, and between them small ones that stay.
SCRIPT = """
import ctypes
from pathlib import Path

def held() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("Anonymous"))

{first}
SMALL = 30_000  # too large for a hole that was there before
before = held()
kept = []
for size in (2_000_000, 900_000, 400_000):
    large = []
    for _ in range(40):
        large.append(b"x" * size)
        kept.append(b"x" * SMALL)
    del large
print(held() - before - len(kept) * SMALL // 2**20)
"""


@pytest.mark.parametrize("package", ["athanor_orchestrator", "athanor_runner"])
def test_large_blocks_go_back_to_the_system(package: str) -> None:
    """Left to itself the allocator keeps what lies before the last small block."""
    assert growth(f"from {package} import allocator\nallocator.hold_little()") <= 2
    assert growth("") > 10, "or nothing has to be done about it any more"


def growth(first: str) -> int:
    """What the script still holds at its end, in MiB."""
    script = SCRIPT.replace("{first}", first)
    return int(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)
