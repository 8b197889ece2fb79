"""What can be wrong with what we are given, each as one sentence for the user: its place, the problem and a remedy.

KdSweepsError        the base, which the command line catches
├── SpecError        a spec or an option that cannot be run
├── DataError        data that cannot be read as configured
│   └── UnreachableError    a URL that does not answer, of which an earlier copy serves (kd_core.store.cache)
├── ModelError       a network that cannot be built as configured
│   └── UnsafeFileError     a file of weights that holds other objects than tensors (kd_core.networks.weights)
├── TeacherError     a stored teacher that is missing or damaged
├── SignalError      a stored signal that is missing, damaged, or of another teacher or stream
├── DamagedError     a file that is not what was written
├── NonFiniteLossError      a loss that became NaN or infinite
├── ExportError      an exported file that is not the trial's student
└── ServerError      an MLflow server that refuses or does not answer
"""

from kd_core.fields import printable


class KdSweepsError(ValueError):
    """The base of them all; `exit_code` is that of a command which ends by it."""

    exit_code = 2


class SpecError(KdSweepsError):
    """A spec or an option cannot be run."""


class DataError(KdSweepsError):
    """The data cannot be read as configured; the message is one printable line, whatever the names in it hold."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class ModelError(KdSweepsError):
    """A network cannot be built as configured; `key` names the field."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class TeacherError(KdSweepsError):
    """A stored teacher is missing or damaged."""


class SignalError(KdSweepsError):
    """A stored signal is missing, damaged, or of another teacher or stream; the message says what and what to do."""


class DamagedError(KdSweepsError):
    """A file is not what was written; the message is one line that names it."""


class NonFiniteLossError(KdSweepsError):
    """The loss was NaN or infinite; the message names trial, epoch and step."""


class ExportError(KdSweepsError):
    """An exported file gives other probabilities than the trial's."""

    exit_code = 1


class ServerError(KdSweepsError):
    """An MLflow server cannot be used; whose fault it is decides the exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code
