"""The one error that a user of keyposs meets: what is wrong, why, and what to do."""

import errno


class KeyposError(Exception):
    """Bad input, said so that it can be mended.

    Args:
        subject: the file, folder or setting at fault.
        cause: what is wrong with it.
        remedy: what to do about it.

    >>> print(KeyposError("faces/a.pts", "holds 67 points, not 68", "fetch the file again"))
    faces/a.pts: holds 67 points, not 68. Remedy: fetch the file again.

    A DataLoader rebuilds the error of a worker process from the text of its traceback alone; that text is
    then taken apart again.
    """

    def __init__(self, subject: object, cause: str = "", remedy: str = "") -> None:
        subject = str(subject)
        if not cause:
            text, _, remedy = subject.rpartition(f"{type(self).__name__}: ")[2].rpartition(". Remedy: ")
            subject, _, cause = text.partition(": ")
            remedy = remedy.strip().removesuffix(".")
        super().__init__(subject, cause, remedy)
        self.subject, self.cause, self.remedy = subject, cause, remedy

    def __str__(self) -> str:
        return f"{self.subject}: {self.cause}. Remedy: {self.remedy}."


def cause(error: BaseException | None) -> KeyposError | None:
    """The KeyposError behind an error, if there is one; a full disk is one too.

    >>> print(cause(KeyposError("a.jpg", "is missing", "fetch it")))
    a.jpg: is missing. Remedy: fetch it.
    """
    while error is not None and not isinstance(error, KeyposError):
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            where = error.filename or "the disk"
            return KeyposError(where, "no space is left", "free some; a training goes on with resume=<its folder>")
        error = error.__cause__ or error.__context__
    return error
