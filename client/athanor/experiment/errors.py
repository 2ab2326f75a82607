"""What the calls of an experiment can raise.

`RecordingError` is drawn over everything that a call refuses; nothing of a refused call is recorded. `RunCancelled` and
the two signals are not `Exception`s, so that an experiment's own `except Exception` does not keep it running after its
end was decided.
"""


class RecordingError(Exception):
    """A call of the run's context was refused. Nothing of it was recorded."""


class InvalidValueError(RecordingError, ValueError):
    """An argument cannot be recorded. The text begins with its path, as in `value/trials/3/score is NaN`."""


class EventTooLargeError(RecordingError, ValueError):
    """An event, or a part of it, is beyond its limit. The text names it, its size and the limit in bytes."""


class RunEndedError(RecordingError, RuntimeError):
    """The experiment has ended, and nothing is recorded after its end."""


class ForkedChildError(RecordingError, RuntimeError):
    """The call was made in a forked child. Two processes cannot number one log."""


class DefinitionError(TypeError):
    """An experiment is declared in a way that cannot work. The text says what to change."""


class RunCancelled(BaseException):
    """Cancellation was requested and the experiment is to stop. `reason` is what was given with the request."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or "cancellation was requested")
        self.reason = reason


class EndSignal(BaseException):
    """Unwinds an experiment that has said how it ends. Never to be caught; what it says is remembered all the same."""


class CompletedSignal(EndSignal):
    """`complete()` was called."""


class FailedSignal(EndSignal):
    """`fail()` was called."""
