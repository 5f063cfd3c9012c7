"""Failures that users see, each with one sentence that says what to do next."""


class MisreadError(Exception):
    """Anything that went wrong outside the code; `str(error)` is a sentence for people."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in a notebook instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class SettingsError(MisreadError):
    """A setting is missing or makes no sense."""


class LogError(MisreadError):
    """The log, or one object of it, cannot be read or written.

    retryable: whether the same request may well succeed later (the store is down or denies access).
    transient: whether it may do so with nobody doing anything (the store is down or busy).
    """

    def __init__(self, sentence: str, *, retryable: bool = True, transient: bool = False) -> None:
        super().__init__(sentence)
        self.retryable = retryable
        self.transient = transient


class ChangedObjectError(LogError):
    """An object of the log is not there any more, or is not what a listing said."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, retryable=False)


class WarehouseError(MisreadError):
    """The warehouse file cannot be opened or belongs to another log."""


class SelectionError(MisreadError):
    """A selection written as text cannot be understood."""


class NameTakenError(SelectionError):
    """There is a selection or a failure mode of this name already."""


class JudgementError(MisreadError):
    """A failure mode, a review or a draw cannot be what it is asked to be."""


class ModelError(MisreadError):
    """A model that scores texts or reads images is not there, not whole, or cannot be run."""


class WorkerError(MisreadError):
    """Work in a process of its own failed, or the process ended."""
