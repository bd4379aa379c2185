"""The errors that are shown as a message alone: input that cannot be used, and training that has failed."""


class InputError(ValueError):
    """A flag, file or column of the user's is unusable; the message alone is shown, exit code 2.

    The message says what is wrong, where (flag, file, column, row), what is allowed and what to do.
    """


class DivergedError(RuntimeError):
    """A loss, gradient, weight or score is not a finite number; the message alone is shown, exit code 1.

    It is raised before anything is saved. The message names the day and the step, and says what to do.
    """


def in_one_line(error: Exception) -> str:
    """Put the message of an error of a library in one line, for a message of ours."""
    return " ".join(str(error).split()) or type(error).__name__
