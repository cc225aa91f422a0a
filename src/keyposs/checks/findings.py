"""What a check says: a table of measures, and findings."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from keyposs.files import readable

WRONG, NOTE = "wrong", "note"


class Finding(NamedTuple):
    """Something that a reader should know of."""

    level: str  # WRONG or NOTE
    text: str
    items: tuple[str, ...] = ()  # the faces or files, the worst first
    remedy: str = ""  # what to do about it, where the items do not say so


class Section(NamedTuple):
    """All that one check says."""

    check: str  # as `ignore` calls it
    title: str
    about: str  # what is measured, in a sentence or two
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    findings: list[Finding]

    @property
    def level(self) -> str:
        """The worst level of its findings; empty where there are none.

        >>> Section("files", "", "", (), [], [Finding(NOTE, "a"), Finding(WRONG, "b")]).level
        'wrong'
        """
        levels = {finding.level for finding in self.findings}
        return WRONG if WRONG in levels else NOTE if levels else ""


def advised(finding: Finding) -> str:
    """What it says, and what to do about it.

    >>> advised(Finding(WRONG, "1 name given to several faces", (), "rename one of them"))
    '1 name given to several faces. Remedy: rename one of them.'
    """
    return f"{finding.text}. Remedy: {finding.remedy}." if finding.remedy else finding.text


def excuse(section: Section, ignore: Sequence[str]) -> Section:
    """The section with names that any file can hold, and with notes alone where the user ignores that check."""
    findings = [finding._replace(items=tuple(map(readable, finding.items))) for finding in section.findings]
    if section.check in ignore:
        findings = [finding._replace(level=NOTE, remedy="") for finding in findings]
    return section._replace(findings=findings)


def row(measure: str, masks: Sequence[Bool[np.ndarray, " n"]], of: Callable[..., str]) -> tuple[str, ...]:
    """A row of one measure: a column for each mask of faces, empty where it chooses none.

    >>> row("faces", [np.array([True, True]), np.array([False, False])], lambda mask: str(mask.sum()))
    ('faces', '2', '')
    """
    return (measure, *(of(mask) if mask.any() else "" for mask in masks))


def count(number: int, one: str, many: str = "") -> str:
    """A number and its noun.

    >>> count(1, "face"), count(2, "face"), count(0, "half", "halves")
    ('1 face', '2 faces', '0 halves')
    """
    return f"{number} {one if number == 1 else many or one + 's'}"
