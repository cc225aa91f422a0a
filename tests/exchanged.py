"""A markup with a mistake in it."""

from dataclasses import replace

from keyposs.markup import Markup


def exchanged(markup: Markup, a: int, b: int) -> Markup:
    """Two points have changed their mirrored partners."""
    other = {a: b, b: a}
    return replace(markup, mirrored=tuple((other.get(x, x), other.get(y, y)) for x, y in markup.mirrored))
