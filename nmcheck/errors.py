"""The errors nmcheck ends in: one sentence for the user and the exit code that goes with it.

Every message says what is wrong, at which file or node, why, and what to do next. The exit codes are frozen:
0 analysed, 1 the gate failed, 2 usage or configuration, 3 could not analyse, 4 internal error, 130 interrupted.
"""


class NmcheckError(Exception):
    """A failure that nmcheck foresaw; ``str(error)`` is the sentence shown to the user."""

    exit_code = 3


class UsageError(NmcheckError):
    """The command line or the configuration asks for something that cannot be."""

    exit_code = 2


class ModelError(NmcheckError):
    """The model file is missing, unreadable, not ONNX, or not a classifier nmcheck can analyse."""


class UnsupportedError(ModelError):
    """The model uses something nmcheck refuses rather than approximates; the message names the node."""


class DataError(NmcheckError):
    """The data cannot be read or does not fit the model."""


class BankError(NmcheckError):
    """A bank of linearizations is missing, damaged, in use, or of something else than what it is asked about."""


class InterruptedBuildError(NmcheckError):
    """The user stopped the building of a bank, which can go on later."""

    exit_code = 130


class OutputError(NmcheckError):
    """A report could not be written."""
