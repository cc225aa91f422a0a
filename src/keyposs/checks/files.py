"""Is everything there, and can it be read: files, annotations, official counts, norms, photos."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from keyposs.checks.findings import NOTE, WRONG, Finding, Section, count, row
from keyposs.checks.survey import Survey
from keyposs.data.dataset import SPLITS

SMALL_NORM = 0.01
"""A norm below this part of the longer side of the landmarks' box is as good as zero."""


def files(survey: Survey) -> Section:
    """Faces whose files or annotations are missing or broken, and names that stand twice."""
    bad = {split: [str(error) for of, error in survey.bad if of == split] for split in SPLITS}
    findings = [
        Finding(WRONG, f"{count(len(items), 'face')} of {split} missing or broken", tuple(items))
        for split, items in bad.items()
        if items
    ]
    named = Counter((face.name, split) for face, split in zip(survey.faces, survey.splits, strict=True))
    twice = [f"{name} ({split})" for (name, split), number in named.items() if number > 1]
    if twice:
        text = f"{count(len(twice), 'name')} given to several faces"
        findings.append(Finding(WRONG, text, tuple(twice), "rename one face of each"))
    findings += _unread(survey)
    read = np.array([view is not None for view in survey.views], dtype=bool)
    return Section(
        "files",
        "Files and annotations",
        "Every annotation is read and every photo decoded."
        if survey.photos
        else "Every annotation is read. There are no photos.",
        ("faces", *SPLITS),
        [
            row("good annotations", survey.masks, lambda mask: str(mask.sum())),
            row("photos read", survey.masks, lambda mask: str(read[mask].sum()) if survey.photos else "no photos"),
            ("missing or broken", *(str(len(items)) for items in bad.values())),
        ],
        findings,
    )


def _unread(survey: Survey) -> list[Finding]:
    """Photos that are not there, or that nobody looks at."""
    if survey.faces and not survey.photos:
        remedy = "put their folder into data.root, or add ignore=[files] to use annotations alone"
        return [Finding(WRONG, "no photos: their folder is missing or empty", (), remedy)]
    if survey.limit is not None and any(mask.sum() > survey.limit for mask in survey.masks):
        return [Finding(NOTE, f"only {count(survey.limit, 'photo')} of each split read, as limit={survey.limit} says")]
    return []


def counts(survey: Survey) -> Section:
    """Annotations of each split, test subset and folder against the authors' counts."""
    pairs = {name: (_find(survey, name), number) for name, number in survey.official.items()}
    partial = [(_whole(name), f, n) for name, (f, n) in pairs.items() if f != n and (f or name in SPLITS)]
    absent = [name for name, (f, n) in pairs.items() if f == 0 < n and name not in SPLITS]
    findings = []
    if partial:
        items = tuple(f"{name}: {f} of {n}" for name, f, n in partial)
        remedy = "fetch what is missing, or add ignore=[counts] to use what is there"
        findings.append(Finding(WRONG, f"{count(len(partial), 'count')} not the official one", items, remedy))
    if absent:
        findings.append(Finding(NOTE, f"{count(len(absent), 'part')} not there at all", tuple(absent)))
    plain = {split: int(mask.sum()) for split, mask in zip(SPLITS, survey.masks, strict=True)}
    subsets = Counter(subset for face in _test(survey) for subset in face.subsets if subset != "all")
    own = [(name, str(n), "") for name, n in {**plain, **subsets}.items() if name not in pairs or name == "train"]
    return Section(
        "counts",
        "Counts",
        "Good annotations, and how many the authors count. `val` is cut from the authors' train where they give none.",
        ("part", "annotations", "official"),
        [*own, *((_whole(name), str(f), str(n)) for name, (f, n) in pairs.items())],
        findings,
    )


def _whole(name: str) -> str:
    """The authors' training split holds `val`."""
    return "train + val" if name == "train" else name


def _test(survey: Survey) -> list:
    return [face for face, split in zip(survey.faces, survey.splits, strict=True) if split == "test"]


def _find(survey: Survey, name: str) -> int:
    """How many faces an official count speaks of: those of a split, of a test subset or of a folder of names."""
    if name in SPLITS:
        splits = ("train", "val") if name == "train" else (name,)
        return sum(split in splits for split in survey.splits)
    return sum(name in face.subsets or face.name.startswith(f"{name}/") for face in survey.faces)


def norms(survey: Survey) -> Section:
    """Normalisers that are zero, missing or next to nothing."""
    side = (survey.tight[:, 2:] - survey.tight[:, :2]).max(1, initial=0)
    bad = ~((survey.norms > SMALL_NORM * side) & np.isfinite(survey.norms))
    named = [
        f"{name}: {norm:.3g} px"
        for name, norm in zip(survey.name_of(np.flatnonzero(bad)), survey.norms[bad], strict=True)
    ]
    text, remedy = f"{count(len(named), 'face')} with a norm of nothing", "mend the annotations, or set data.norm=box"
    findings = [Finding(WRONG, text, tuple(named), remedy)] if named else []
    part = survey.norms / np.maximum(side, 1e-9)

    def middle(values: np.ndarray, mask: Bool[np.ndarray, " n"], form: str) -> str:
        good = values[mask & ~bad]
        return "/".join(f"{v:{form}}" for v in np.percentile(good, (0, 50, 100))) if len(good) else ""

    return Section(
        "norms",
        "Norms",
        "What errors are divided by: least/median/largest, in pixels and in parts of the landmarks' longer side.",
        ("norm", *SPLITS),
        [
            row("norm, px", survey.masks, lambda mask: middle(survey.norms, mask, ".0f")),
            row("norm over side", survey.masks, lambda mask: middle(part, mask, ".2f")),
        ],
        findings,
    )


def photos(survey: Survey) -> Section:
    """Sizes and colour of the photos, and how much of the faces is marked."""
    views, visible = survey.views, np.isfinite(survey.keypoints[..., 0])
    hidden = np.array([face.occluded for face in survey.faces], dtype=bool).reshape(visible.shape) & visible

    def size(mask: Bool[np.ndarray, " n"], place: int | float) -> str:
        seen = sorted((v.size for i in np.flatnonzero(mask) if (v := views[i])), key=lambda s: s[0] * s[1])
        return "{}x{}".format(*seen[int(place * (len(seen) - 1))]) if seen else "no photos"

    def grey(mask: Bool[np.ndarray, " n"]) -> str:
        seen = [v.grey for i in np.flatnonzero(mask) if (v := views[i])]
        return _percent(np.array(seen)) if seen else "no photos"

    side = (survey.tight[:, 2:] - survey.tight[:, :2]).max(1, initial=0)
    return Section(
        "photos",
        "Photos and points",
        "Photos by area, the longer side of the landmarks' box (least/median/largest), shares of all faces or points.",
        ("photos", *SPLITS),
        [
            row("smallest photo", survey.masks, lambda m: size(m, 0)),
            row("median photo", survey.masks, lambda m: size(m, 0.5)),
            row("largest photo", survey.masks, lambda m: size(m, 1)),
            row("face side, px", survey.masks, lambda m: _three(side[m])),
            row("grey photos", survey.masks, grey),
            row("not annotated", survey.masks, lambda m: _percent(~visible[m])),
            row("occluded", survey.masks, lambda m: _percent(hidden[m])),
        ],
        [],
    )


def _percent(flags: np.ndarray) -> str:
    return f"{100 * flags.mean():.1f} %"


def _three(values: Sequence[float] | np.ndarray) -> str:
    return "/".join(f"{value:.0f}" for value in np.percentile(values, (0, 50, 100)))
