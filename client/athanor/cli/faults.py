"""How a program of the command line ends when nothing else has said how."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from athanor.cli import exits, output


@contextmanager
def told(debug: Callable[[], bool]) -> Generator[None, None, None]:
    """Within it Ctrl-C ends the process, and so does a fault of the program: with a line, or a traceback to `debug`."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(exits.INTERRUPTED)
    except Exception as error:
        if debug():
            raise
        output.note(f"athanor: a fault of this program: {type(error).__name__}: {error}")
        output.note("`athanor --debug COMMAND` shows where.")
        sys.exit(exits.BUG)
