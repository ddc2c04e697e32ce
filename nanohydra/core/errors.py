"""The one exception for a user's mistake: it names the value and the way out."""


class UserError(ValueError):
    """Bad input from a person. Commands print its message alone, never a traceback."""
