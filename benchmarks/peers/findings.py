"""What was found, kept as lines of JSON, and the table of it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

# What is measured, in the order of the table, and how its row is called.
WHATS: Mapping[str, str] = {
    "ingest": "ingest, records a second: until another process has read them",
    "latency": "live latency, ms, p50 / p99: from the call until another process sees it",
    "launch": "launch, s, p50: from submitting until the first line of user code",
    "memory": "idle memory, MB: server and worker (proportional set size)",
    "crash": "the server is killed (-9) while 100 records/s are logged, and started again 2 s later",
    "worker": "a run or a worker is killed (-9): what is shown of the run, and when",
}
POWER = "a power cut (not measured: by the configuration above)"


@dataclass(frozen=True)
class Finding:
    """One thing that was measured of one peer in one way."""

    peer: str  # as in the list of peers
    what: str  # a key of WHATS
    way: str  # which of the peer's ways; findings of the same three replace each other
    text: str  # what the table says
    values: tuple[float, ...] = ()  # what that was made of


def read(path: Path) -> list[Finding]:
    """What was found so far, in the order in which it was first found."""
    if not path.exists():
        return []
    found: dict[tuple[str, str, str], Finding] = {}
    for line in path.read_text().splitlines():
        values = json.loads(line)
        finding = Finding(**(values | {"values": tuple(values["values"])}))
        found[finding.peer, finding.what, finding.way] = finding
    return list(found.values())


def append(path: Path, finding: Finding) -> None:
    """Keep one more."""
    with path.open("a") as file:
        file.write(json.dumps(asdict(finding)) + "\n")


def as_markdown(
    findings: Iterable[Finding],
    titles: Mapping[str, str],
    order: Mapping[str, Sequence[str]],
    apart: Mapping[tuple[str, str], str] | None = None,
    power: Mapping[str, str] | None = None,
) -> str:
    """One table of all.

    Args:
        findings: of any peers.
        titles: what is written above the column of each peer, by its name, in the order of the columns.
        order: by peer and what, as `peer/what`: the ways in the order in which a cell lists them.
        apart: by peer and what: what of it is not the peer's task, said at the end of the cell.
        power: by peer: what its configuration says of a power cut, which nobody measures here.
    """
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for finding in findings:
        cells.setdefault((finding.peer, finding.what), {})[finding.way] = finding.text
    columns = [peer for peer in titles if any(peer == found for found, _ in cells)]
    lines = [
        "| " + " | ".join(["", *(titles[peer] for peer in columns)]) + " |",
        "| " + " | ".join(["---"] * (len(columns) + 1)) + " |",
    ]
    for what, title in WHATS.items():
        row = [title]
        for peer in columns:
            texts = cells.get((peer, what), {})
            ways = [*order.get(f"{peer}/{what}", ()), *texts]
            said = [texts[way] for way in dict.fromkeys(ways) if way in texts]
            said += [text for cell, text in (apart or {}).items() if cell == (peer, what)]
            row.append("<br>".join(said) or "not measured")
        lines.append("| " + " | ".join(row) + " |")
    if power is not None:
        lines.append("| " + " | ".join([POWER, *(power[peer] for peer in columns)]) + " |")
    return "\n".join(lines)
