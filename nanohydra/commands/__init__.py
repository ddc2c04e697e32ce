"""The commands: each parses its options, wires the packages together and prints a summary."""

__all__: list[str] = []
