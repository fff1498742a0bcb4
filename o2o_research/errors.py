"""What can go wrong, by who can mend it.

O2OError
├── CaseError     params, notebook, terms or evidence disagree
├── DataError     a table is not what was promised
├── RunError      a run did not end well; carries its state
└── PublishError  a report cannot be made whole

Models raise ``ValueError`` (a parameter outside its domain) and
``models.numerics.NotConverged``.
"""


class O2OError(Exception):
    """An error a user can cause and mend: its text is all they need."""


class CaseError(O2OError):
    """Parameters, notebook, terms or evidence disagree."""


class DataError(O2OError):
    """A table is not what was promised."""


class RunError(O2OError):
    """A run did not end well."""

    def __init__(self, message: str, state: str = "failed") -> None:
        super().__init__(message)
        self.state = state


class PublishError(O2OError):
    """A report cannot be made whole."""
