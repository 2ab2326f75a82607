"""What a person is told when something went wrong, and the exit status that goes with it."""

import re

from athanor.cli import exits
from athanor.client import errors

# How the advice of the client names another orchestrator; on a command line that is an option.
_CONNECT = re.compile(r'athanor\.connect\("([^"]*)"\)')

# gRPC's words for what its client does not send.
_TOO_LARGE = re.compile(r"Sent message larger than max \((\d+) vs\. (\d+)\)")


def explain(error: errors.AthanorError, meant: str = "") -> tuple[str, int]:
    """Return the text for `error`, in full and without a traceback, and the exit status.

    `meant` is the name of what there is that is nearest to what was not found.
    """
    match error:
        case errors.UnavailableError():
            advice = _CONNECT.sub(r"--target \1", error.advice)
            return f"{error}\n{advice}".rstrip(), exits.UNREACHABLE
        case errors.DeadlineExceededError() | errors.ProtocolError():
            return str(error), exits.UNREACHABLE
        case errors.WaitTimeoutError():
            return f"{error}\n`athanor logs -f {error.run_id}` follows it.", exits.UNREACHABLE
        case errors.MissingExtraError():
            return str(error), exits.USAGE
        case errors.TargetError():
            return str(error), exits.USAGE
        case errors.ConfigurationInvalidError():
            lines = [f"the configuration does not fit {error.experiment or 'the experiment'}:"]
            lines += [f"  {_where(violation)}: {violation.description}" for violation in error.violations]
            if error.experiment:
                lines.append(f"`athanor experiments show {error.experiment}` lists what it takes.")
            return "\n".join(lines), exits.USAGE
        case errors.InvalidArgumentError():
            lines = [f"  {violation.field}: {violation.description}" for violation in error.violations]
            return "\n".join(["the orchestrator does not accept that:", *lines] if lines else [str(error)]), exits.USAGE
        case errors.NotFoundError() if error.resource in ("experiment", "instance", "run", "runner"):
            question = f" did you mean {meant!r}?" if meant else ""
            return f"{error};{question} `athanor {error.resource}s list` shows those there are", exits.REFUSED
        case errors.RunLiveError():
            advice = f"`athanor runs cancel --wait {error.run_id}` ends it."
            return f"{error}\n{advice}" if error.run_id else str(error), exits.REFUSED
        case errors.RefusedError(code="RESOURCE_EXHAUSTED") if large := _TOO_LARGE.search(str(error)):
            return _too_large(*map(int, large.groups())), exits.USAGE
        case errors.InternalError():
            return f"the orchestrator has a fault: {error}\nIts log has the details.", exits.REFUSED
        case _:
            return str(error), exits.REFUSED


def _too_large(size: int, most: int) -> str:
    return (
        f"that is too large to be sent: {size / 1e6:.1f} MB, of {most / 1024**2:.0f} MiB at most; "
        "a configuration may have 256 KiB.\n"
        "Put what is large into a file that the experiment reads, and its path into the configuration."
    )


def _where(violation: errors.Violation) -> str:
    """The place in the configuration, or the field when the fault is of the whole of it."""
    if violation.field.startswith("/"):
        return violation.field
    if violation.pointer:
        return violation.pointer
    return "(the whole)" if violation.field.endswith("configuration_json") else violation.field
