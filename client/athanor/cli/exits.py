"""What the exit status of `athanor` means. Scripts rely on these: they do not change."""

OK = 0  # done; of a run that was followed: COMPLETED
FAILED = 1  # the run FAILED; of `runs verify`: its log is not complete, or damaged; of `up`: it could not start
# FAILED also: of `doctor`, something is wrong; of `export` and `new`, a file could not be written.
USAGE = 2  # the command line, or a value in it, is wrong: nothing was done
CANCELLED = 3  # the run was CANCELLED
UNREACHABLE = 4  # the orchestrator cannot be reached, or did not answer in time
REFUSED = 5  # the orchestrator says no: there is no such thing, or its state forbids it
BUG = 70  # a fault of this program
INTERRUPTED = 130  # Ctrl-C; a run that was followed goes on
UNREAD = 141  # whoever read the output has gone (`| head`); a run that was followed goes on

HELP = """Exit status: 0 done (the run COMPLETED), 1 the run FAILED (of `runs verify`: the log is damaged, or not
complete; of `doctor`: something is wrong; of `export` and `new`: a file could not be written), 2 wrong usage or
configuration, 3 the run was CANCELLED, 4 the orchestrator cannot be reached, 5 it refused (not found, wrong state),
70 a fault of this program, 130 Ctrl-C (a run that is followed goes on), 141 nobody reads the output any more. Of
several runs that are followed: 1 when one FAILED, else 3 when one was CANCELLED."""
