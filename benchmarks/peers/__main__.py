"""`python -m benchmarks.peers [NAME ...]`: the same work done by Athanor and by others, and one table of it."""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import leaving
from benchmarks.__main__ import machine
from benchmarks.peers import environment, findings, table
from benchmarks.peers.measures import MEASURES, Bench
from benchmarks.peers.peer import Peer
from benchmarks.peers.peers import PEERS


def main() -> int:
    """Measure what is asked for; print each finding, and then the table of all that was found so far."""
    chosen = arguments()
    leaving.when_asked()
    kept = chosen.folder / "findings.jsonl"
    chosen.folder.mkdir(parents=True, exist_ok=True)
    failed = False
    for name in [] if chosen.table else chosen.names or PEERS:
        failed |= not measure(PEERS[name], chosen, kept)
    found = findings.read(kept)
    print(table.of(found))
    if chosen.readme:
        table.write(found, machine())
    return int(failed)


def measure(peer: Peer, chosen: argparse.Namespace, kept: Path) -> bool:
    """Whether all of it could be measured."""
    try:
        python = Path(sys.executable) if peer.name == "athanor" else environment.make(peer.name, chosen.folder)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return False
    bench = Bench(python, rounds=chosen.rounds, quick=chosen.quick, way=chosen.way)
    for what in chosen.measure or MEASURES:
        print(f"{peer.title}: {what} ...", file=sys.stderr, flush=True)
        for finding in MEASURES[what](peer, bench):
            print(f"{peer.title:<10}{what:<10}{finding.text}", flush=True)
            if not chosen.quick:
                findings.append(kept, finding)
    return True


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(PEERS)} (default: all)")
    parser.add_argument("--measure", action="append", choices=tuple(MEASURES), help="one of the measurements alone")
    parser.add_argument("--way", help="one way of the peers alone")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(tempfile.gettempdir()) / "athanor-peers",
        help="where the environments of the peers and what was found are kept (default: %(default)s)",
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often an ingest is measured (default: 3)")
    parser.add_argument("--quick", action="store_true", help="small sizes: does it work; nothing is kept")
    parser.add_argument("--table", action="store_true", help="only print what was found before")
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    chosen = parser.parse_args()
    if unknown := [name for name in chosen.names if name not in PEERS]:
        parser.error(f"there is no peer {', '.join(unknown)}; there are {', '.join(PEERS)}")
    return chosen


if __name__ == "__main__":
    sys.exit(main())
