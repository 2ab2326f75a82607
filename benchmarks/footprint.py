"""What processes hold in memory and have used of a processor, as the kernel counts it. Sizes in MB, a million bytes."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_MAPPING = re.compile(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \S+ *(?P<file>/.*)?")
_KIB = 1024 / 1e6  # MB


@dataclass(frozen=True)
class Footprint:
    """What one process holds."""

    pid: int
    proportional: float  # a page that several processes share counts in parts (PSS)
    anonymous: float  # the part of it that is no file's page


def tree(root: int) -> list[int]:
    """A process and all its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # After the name, which is in parentheses and may hold anything: state, parent.
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def of(pid: int) -> Footprint:
    """Of one process. OSError when it has ended."""
    sizes = dict(_sizes(Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]))
    if "Pss" not in sizes:
        raise ProcessLookupError(f"process {pid} has ended")
    return Footprint(pid, sizes["Pss"], sizes["Pss_Anon"])


def processor(pid: int) -> float:
    """Seconds of processor that a process has used. OSError when it has ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def alone(pids: Iterable[int]) -> float:
    """What these would hold with nobody else on the machine to share files' pages with.

    Of a file that several of them use the pages of that one count which uses most of it.
    """
    anonymous = 0.0
    files: dict[str, float] = {}
    for pid in pids:
        anonymous += of(pid).anonymous
        mapped: dict[str, float] = {}
        file = None
        for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
            if match := _MAPPING.fullmatch(line):
                file = match["file"]
            elif file is not None:
                for name, size in _sizes([line]):
                    mapped[file] = mapped.get(file, 0.0) + {"Rss": size, "Anonymous": -size}.get(name, 0.0)
        for file, size in mapped.items():
            files[file] = max(files.get(file, 0.0), size)
    return anonymous + sum(files.values())


def _sizes(lines: Iterable[str]) -> Iterable[tuple[str, float]]:
    for line in lines:
        name, _, rest = line.partition(":")
        number, _, unit = rest.strip().partition(" ")
        if unit == "kB":
            yield name, int(number) * _KIB
