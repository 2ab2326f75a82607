"""The table beside others: written by the run that measured it, never by hand."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers import environment, findings
from benchmarks.peers.findings import Finding
from benchmarks.peers.peers import PEERS
from benchmarks.readme import README, put

BEGIN = "<!-- peers: written by `python -m benchmarks.peers --readme` -->"
END = "<!-- end of peers -->"


def of(found: Sequence[Finding]) -> str:
    """The table, with versions."""
    titles = {
        name: peer.title if name == "athanor" else f"{peer.title} {environment.version(name)}"
        for name, peer in PEERS.items()
    }
    order: dict[str, Sequence[str]] = {}
    for peer in PEERS.values():
        order |= peer.ways()
    apart = {(name, what): text for name, peer in PEERS.items() for what, text in peer.apart.items()}
    power = {name: peer.power for name, peer in PEERS.items()}
    return findings.as_markdown(found, titles, order, apart, power)


def write(found: Sequence[Finding], machine: str, path: Path = README) -> None:
    """Write the table in the place of the last one. ValueError when the marks are gone."""
    put(path, BEGIN, END, machine, of(found))
