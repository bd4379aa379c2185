"""The one error that means: what the user gave cannot be used, and here is what to do."""


class InputError(ValueError):
    """A flag, file or column of the user's is unusable; the message alone is shown, exit code 2.

    The message says what is wrong, where (flag, file, column, row), what is allowed and what to do.
    """
