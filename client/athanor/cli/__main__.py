"""The entry of the `athanor` command."""

import os
import sys


def main() -> None:
    """Run the command line and end the process with its status; see `athanor.cli.exits`."""
    # gRPC writes about every lost connection on standard error; this program says what matters itself.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")

    from athanor.cli import exits, session
    from athanor.cli.app import app

    try:
        app(prog_name="athanor")
    except KeyboardInterrupt:
        sys.exit(exits.INTERRUPTED)
    except Exception as error:
        if session.given.debug:
            raise
        print(f"athanor: a fault of this program: {type(error).__name__}: {error}", file=sys.stderr)
        print("`athanor --debug COMMAND` shows where.", file=sys.stderr)
        sys.exit(exits.BUG)


if __name__ == "__main__":
    main()
