"""`python -m athanor.cli.parentbound PARENT_PID MODULE ARGUMENTS...` becomes `python -m MODULE`, bound to its parent.

`athanor up` starts its services through this. When it is killed without a chance to stop them they get SIGTERM from the
kernel (Linux; elsewhere they live on). The signal has to be asked for here, in the child: code between fork and exec
(`preexec_fn`) is not safe beside gRPC.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask for the signal and turn into the service."""
    parent = int(sys.argv[1])
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before the signal was asked for
            sys.exit(1)
    os.execv(sys.executable, [sys.executable, "-m", *sys.argv[2:]])


if __name__ == "__main__":
    main()
