"""What is said to whoever started a command."""

import unicodedata

from rich.console import Console

from keyposs.files import readable


def say(text: str) -> None:
    """Prints a line to the standard output, as it is: nothing in it is a command to the terminal."""
    Console(soft_wrap=True).print(printable(text), markup=False, highlight=False, emoji=False)


def printable(text: str) -> str:
    r"""Text whose control characters, and those that turn the direction of writing, are spelt out.

    >>> printable("red\x1b[31m.jpg\n")
    'red\\x1b[31m.jpg\\n'
    """
    return "".join(ascii(c)[1:-1] if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") else c for c in readable(text))
