"""The one error that a user of keyposs meets: what is wrong, why, and what to do."""


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
