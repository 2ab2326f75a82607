"""The entry of the `athanor` command."""

import os


def main() -> None:
    """Run the command line and end the process with its status; see `athanor.cli.exits`."""
    # gRPC writes about every lost connection on standard error; this program says what matters itself.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")

    from athanor.cli import faults, session
    from athanor.cli.app import app

    with faults.told(lambda: session.given.debug):
        app(prog_name="athanor")


if __name__ == "__main__":
    main()
