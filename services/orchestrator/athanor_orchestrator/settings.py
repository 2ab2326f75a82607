"""What the orchestrator is told when it starts: flags, else ATHANOR_* variables, else defaults; one frozen record."""

import argparse
import dataclasses
import ipaddress
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from athanor_orchestrator.engine.timings import Timings

DEFAULT_LISTEN = "127.0.0.1:7400"

_EPILOG = """\
environment:
  ATHANOR_LISTEN, ATHANOR_DATA, ATHANOR_DATABASE_URL   as the flags; a flag wins
  ATHANOR_LOG_LEVEL                                    debug, info (default), warning or error
  ATHANOR_STOP_GRACE                                   seconds that calls get to finish when it stops (default 5)

The first SIGTERM or Ctrl-C stops it in order, a second one at once. Runs go on in either case: their runners keep what
they record and deliver it when an orchestrator is back.
"""


class SettingsError(Exception):
    """What was asked for cannot be; the text says what to do instead."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How one orchestrator is to run."""

    host: str  # as it was written; an IPv6 address without brackets
    port: int  # 0: any free one
    data: Path  # folder of the SQLite file
    database_url: str = ""  # empty: SQLite in `data`
    log_level: str = "INFO"
    stop_grace: float = 5.0  # seconds that calls get to finish when it stops
    timings: Timings = field(default_factory=Timings)

    @property
    def storage_url(self) -> str:
        """The address of the database."""
        return self.database_url or f"sqlite:///{self.data.absolute() / 'athanor.db'}"

    @property
    def database_name(self) -> str:
        """Return what the database is called, for people."""
        return "SQLite" if self.storage_url.startswith("sqlite") else "PostgreSQL"


def parse(arguments: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Read flags and environment. Raises SettingsError; leaves by SystemExit for --help and unknown flags."""
    given = _parser(environ).parse_args(arguments)
    host, port = parse_address(given.listen)
    if not given.allow_unauthenticated and not is_loopback(host):
        raise SettingsError(
            f"refusing to listen on {given.listen}: there is no authentication yet, so whoever reaches it can run, "
            "read and delete everything. Listen on 127.0.0.1, or add --allow-unauthenticated if you mean it"
        )
    level = environ.get("ATHANOR_LOG_LEVEL", "info").upper()
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise SettingsError(f"ATHANOR_LOG_LEVEL is {level.lower()!r}; it must be debug, info, warning or error")
    return Settings(
        host=host,
        port=port,
        data=Path(given.data).expanduser(),
        database_url=given.database_url,
        log_level=level,
        stop_grace=_seconds(environ, "ATHANOR_STOP_GRACE", 5.0),
        timings=_timings(environ),
    )


def parse_address(text: str) -> tuple[str, int]:
    """Split HOST:PORT; an IPv6 host stands in brackets. Raises SettingsError."""
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not host or not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise SettingsError(f"{text!r} is not HOST:PORT, such as {DEFAULT_LISTEN}; put an IPv6 host in [brackets]")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches `host`. A name other than localhost could be anything."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def default_data(environ: Mapping[str, str]) -> Path:
    """Return the data folder of a user who names none (XDG base directories)."""
    base = environ.get("XDG_DATA_HOME", "")
    home = Path(base) if os.path.isabs(base) else Path("~/.local/share").expanduser()
    return home / "athanor"


def _parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="athanor-orchestrator",
        description="Athanor's orchestrator: keeps experiments, instances and runs, and gives runs to runners.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--listen",
        metavar="HOST:PORT",
        default=environ.get("ATHANOR_LISTEN") or DEFAULT_LISTEN,
        help=f"serve here (default {DEFAULT_LISTEN}); port 0 takes a free one",
    )
    parser.add_argument(
        "--data",
        metavar="FOLDER",
        default=environ.get("ATHANOR_DATA") or str(default_data(environ)),
        help="keep the SQLite database here (default %(default)s)",
    )
    parser.add_argument(
        "--database-url",
        metavar="URL",
        default=environ.get("ATHANOR_DATABASE_URL") or "",
        help="use this database instead, such as postgresql://user:password@host/athanor",
    )
    parser.add_argument(
        "--allow-unauthenticated",
        action="store_true",
        help="listen beyond this machine although there is no authentication yet",
    )
    return parser


def _timings(environ: Mapping[str, str]) -> Timings:
    """Take each of Timings from its variable (ATHANOR_HEARTBEAT_INTERVAL, ...), in seconds: for tests, mostly."""
    default = Timings()
    return Timings(
        **{
            each.name: _seconds(environ, f"ATHANOR_{each.name.upper()}", getattr(default, each.name))
            for each in dataclasses.fields(Timings)
        }
    )


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name, "")
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e9:
        raise SettingsError(f"{name} is {text!r}; it must be a number of seconds")
    return seconds
