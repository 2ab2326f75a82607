"""`athanor up`: the whole system on this machine, in one command."""

from pathlib import Path
from typing import Annotated

import typer

from athanor.cli import session


def up(
    listen: Annotated[
        str, typer.Option("--listen", envvar="ATHANOR_LISTEN", metavar="HOST:PORT", help="Where to listen.")
    ] = "127.0.0.1:7400",
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            envvar="ATHANOR_DATA",
            metavar="FOLDER",
            help="Where everything is kept. [default: ~/.local/share/athanor]",
            file_okay=False,
        ),
    ] = None,
    path: Annotated[
        list[Path] | None,
        typer.Option(
            "--path",
            metavar="FOLDER",
            help="Also take experiments from the Python files in this folder. May be repeated.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    slots: Annotated[
        int | None,
        typer.Option("--slots", min=1, metavar="N", help="Runs at once. [default: number of cores]"),
    ] = None,
    python: Annotated[
        Path | None,
        typer.Option(
            "--python",
            metavar="PATH",
            help="Interpreter for the experiments: that of their own environment. [default: this one]",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    allow_unauthenticated: Annotated[
        bool,
        typer.Option(
            "--allow-unauthenticated",
            help="Listen on an address that others reach, although everybody there may do everything.",
        ),
    ] = False,
) -> None:
    """Run orchestrator and runner on this machine, until Ctrl-C.

    Either is started again when it dies. Ctrl-C, or SIGTERM, stops the runner, which gives its runs some seconds to
    end, then the orchestrator; a second one does not wait for the runs.
    """
    from athanor.cli import system

    settings = system.Settings(
        listen=listen,
        data=(data or system.default_data_folder()).absolute(),
        paths=tuple(folder.absolute() for folder in path or []),
        slots=slots,
        python=python.absolute() if python else None,
        allow_unauthenticated=allow_unauthenticated,
        debug=session.given.debug,
    )
    system.become(settings)
