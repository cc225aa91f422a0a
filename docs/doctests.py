"""Examples stand at the end of docstrings, without a heading: here they get the one that the API pages look for."""

import re
from textwrap import indent
from typing import Any

from griffe import Extension, Object

EXAMPLE = re.compile(r"^>>> .*(?:\n.+)*", flags=re.MULTILINE)


class Doctests(Extension):
    """Gives each bare doctest of a docstring its heading."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Mends the docstring of a module, class, function or attribute."""
        if obj.docstring:
            text = EXAMPLE.sub(lambda found: "Examples:\n" + indent(found[0], "    "), obj.docstring.value)
            obj.docstring.value = text
