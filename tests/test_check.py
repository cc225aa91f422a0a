import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from omegaconf import DictConfig

from every_writer import EXTRA, WRITERS
from exchanged import exchanged
from keyposs import check as command
from keyposs.check import CHECKS, check
from keyposs.checks.findings import NOTE, WRONG, Finding, Section
from keyposs.data import Ibug300W, Synthetic
from keyposs.data.formats.pts import read_points
from keyposs.errors import KeyposError
from writers import write_points, write_wflw

Compose = Callable[..., DictConfig]
PARTS = {"afw": 5, "helen/trainset": 5, "lfpw/trainset": 4, "lfpw/testset": 4, "ibug": 2}
CLEAN = ("faces=2", "ignore=[counts]")


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 rendered faces in the layout of 300-W."""
    root = tmp_path_factory.mktemp("clean") / "300w"
    faces = iter(Synthetic(train=sum(PARTS.values())).annotations("train"))
    for part, number in PARTS.items():
        (root / part).mkdir(parents=True)
        for i in range(number):
            face = next(faces)
            path = root / part / f"{i}_1.jpg"
            cv2.imwrite(str(path), face.read()[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
            write_points(path.with_suffix(".pts"), face.keypoints)
    return root


@pytest.fixture
def root(clean: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(clean, tmp_path / "300w")


@pytest.fixture
def checked(composed: Compose) -> Callable[..., dict[str, Section]]:
    """The sections of a check, by name."""

    def run(root: Path, *overrides: str, data: str = "300w") -> dict[str, Section]:
        config = composed(f"data={data}", f"data.root={root}", *CLEAN, *overrides, name="check")
        return {section.check: section for section in check(config)}

    return run


Checked = Callable[..., dict[str, Section]]


def said(sections: dict[str, Section], level: str) -> str:
    return "\n".join(
        f"{section.check}: {finding.text}: {'; '.join(finding.items)}"
        for section in sections.values()
        for finding in section.findings
        if finding.level == level
    )


def wrong(sections: dict[str, Section]) -> str:
    return said(sections, WRONG)


def test_a_clean_set_is_not_wrong(clean: Path, checked: Checked) -> None:
    sections = checked(clean)
    assert tuple(sections) == CHECKS
    assert wrong(sections) == ""
    assert said(sections, NOTE).startswith("counts: ")
    assert sections["files"].rows[1] == ("photos read", "11", "3", "6")
    assert ("afw", "5", "337") in sections["counts"].rows
    mean = float(sections["crops"].rows[0][1])
    assert 1.5 < mean < 3


def test_counts_are_the_authors(clean: Path, checked: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    found = wrong(checked(clean, "ignore=[]"))
    assert re.match(r"counts: 9 counts not the official one: train \+ val: 14 of 3148; common: 4 of 554", found)
    own = {"train": 14, "full": 6, "common": 4, "challenging": 2, "afw": 5, "indoor": 300}
    monkeypatch.setattr(Ibug300W, "official", own)
    sections = checked(clean, "ignore=[]")
    assert wrong(sections) == ""
    assert said(sections, NOTE) == "counts: 1 part not there at all: indoor"


def test_a_split_that_is_not_there_at_all_is_wrong(root: Path, checked: Checked) -> None:
    for part in ("afw", "helen", "lfpw/trainset"):
        shutil.rmtree(root / part)
    sections = checked(root, "ignore=null")
    assert "train + val: 0 of 3148" in wrong(sections)
    assert re.search(r"not there at all: .*afw", said(sections, NOTE))


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_every_photo_is_read(name: str, checked: Checked, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / "data")
    sections = checked(tmp_path / "data", *EXTRA.get(name, []), data=name)
    good, photos, bad = sections["files"].rows
    assert good[1:] == photos[1:]
    assert sum(int(number or 0) for number in photos[1:]) >= 12
    assert bad[1:] == ("0", "0", "0")


def test_a_dataset_that_has_no_val_gets_none(composed: Compose) -> None:
    config = composed("data=synthetic", "data.train=4", "data.val=0", "data.test=3", "faces=1", name="check")
    assert check(config)[0].rows[0] == ("good annotations", "4", "", "3")


def test_all_bad_files_are_named(root: Path, checked: Checked) -> None:
    (root / "afw/1_1.jpg").unlink()
    photo = root / "lfpw/trainset/2_1.jpg"
    photo.write_bytes(photo.read_bytes()[:3000])
    points = root / "lfpw/testset/3_1.pts"
    points.write_text(points.read_text().replace("}", "").rsplit("\n", 3)[0] + "\n}\n")
    coincident = read_points(root / "ibug/0_1.pts", 68)
    coincident[45] = coincident[36]
    write_points(root / "ibug/0_1.pts", coincident)
    hollow = root / "helen/trainset/1_1.jpg"  # whole at both ends
    data = bytearray(hollow.read_bytes())
    data[2:400] = bytes(398)
    hollow.write_bytes(data)
    found = wrong(checked(root))
    for words in (
        r"files: 3 faces of (train|val)|files: 2 faces of (train|val)",
        r"afw/1_1.jpg: the photo is missing",
        r"lfpw/trainset/2_1.jpg: cannot be read as an image",
        r"helen/trainset/1_1.jpg: cannot be read as an image",
        r"files: 2 faces of test missing or broken",
        r"lfpw/testset/3_1.pts: holds 67 points, not 68",
        r"ibug/0_1.pts: its landmarks coincide: the inter-ocular norm is 0",
    ):
        assert re.search(words, found), (words, found)
    sections = checked(root, "ignore=[counts,files]")
    assert "files: " in said(sections, NOTE)
    assert wrong(sections) == ""


def test_points_far_off_the_photo(root: Path, checked: Checked) -> None:
    far, near = root / "afw/1_1.pts", root / "lfpw/testset/2_1.pts"
    points = read_points(far, 68)
    points[10, 0] = 5000
    write_points(far, points)
    points = read_points(near, 68)
    points[8, 1] = cv2.imread(str(near.with_suffix(".jpg"))).shape[0] + 3
    write_points(near, points)
    sections = checked(root)
    assert re.fullmatch(r"points: 1 face with points far off the photo: afw/1_1: \d+\.\d+", wrong(sections))
    notes = said(sections, NOTE)
    assert re.search(r"points: 1 face with points a little off the photo: lfpw/testset/2_1: 0.0\d", notes)
    assert re.search(r"flip: \d faces? unlike the mean shape.*: afw/1_1", notes)


def test_a_resaved_copy_across_the_splits(root: Path, checked: Checked) -> None:
    for source, target in (("afw/3_1", "lfpw/testset/copy"), ("ibug/0_1", "ibug/again")):
        photo = cv2.imread(str(root / f"{source}.jpg"))
        small = cv2.resize(photo, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(root / f"{target}.jpg"), small, [cv2.IMWRITE_JPEG_QUALITY, 60])
        ratio = np.array(small.shape[1::-1]) / photo.shape[1::-1]
        write_points(root / f"{target}.pts", (read_points(root / f"{source}.pts", 68) + 0.5) * ratio - 0.5)
    sections = checked(root)
    across = r"duplicates: 1 picture more than once across train or val and test: "
    assert re.fullmatch(across + r"afw/3_1 \(\w+\) = lfpw/testset/copy \(test\): 0.\d+", wrong(sections))
    within = r"duplicates: 1 picture more than once within test: ibug/0_1 \(test\) = ibug/again \(test\): 0.9\d"
    assert re.search(within, said(sections, NOTE))
    assert wrong(checked(root, "ignore=[counts,duplicates]")) == ""


def test_a_wrong_flip(clean: Path, checked: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ibug300W, "markup", exchanged(Ibug300W.markup, 50, 51))
    pattern = r"flip: \d points? of the mean shape not where the mirrored partner is: 50 outer lips 2 \(mirrors 50\): 1"
    assert re.match(pattern, wrong(checked(clean)))


def test_mirrored_photos_whose_names_did_not_turn(root: Path, checked: Checked) -> None:
    for path in sorted(root.rglob("*.pts")):
        photo = cv2.imread(str(path.with_suffix(".jpg")))
        cv2.imwrite(str(path.with_suffix(".jpg")), photo[:, ::-1])
        write_points(path, read_points(path, 68) * [-1, 1] + [photo.shape[1] - 1, 0])
    assert "flip: left and right are exchanged: right brow; right eye" in wrong(checked(root))


def test_faces_without_the_box_chosen(clean: Path, checked: Checked) -> None:
    found = wrong(checked(clean, "box=dataset"))
    assert found.startswith("boxes: 20 faces without the box chosen: afw/0_1; afw/")
    assert "of 1 faces" not in found


def test_faces_without_a_box_in_the_csv(clean: Path, checked: Checked, tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("file,x0,y0,x1,y1\nafw/0_1,0,0,900,900\n")
    found = wrong(checked(clean, "box=csv", f"box.file={tmp_path / 'boxes.csv'}"))
    assert found.startswith("boxes: 19 faces without the box chosen: afw/")
    assert "afw/0_1" not in found


def test_wflw_with_and_without_photos(tmp_path: Path, checked: Checked) -> None:
    write_wflw(tmp_path / "wflw")
    sections = checked(tmp_path / "wflw", "box=dataset", data="wflw")
    assert "files" not in wrong(sections)
    assert sections["boxes"].rows[1] == ("own face boxes", "11", "1", "4") or sections["boxes"].rows[1][3] == "4"
    shutil.rmtree(tmp_path / "wflw/WFLW_images")
    assert checked(tmp_path / "wflw", "ignore=[files,counts,flip]", data="wflw")["files"].level == NOTE
    sections = checked(tmp_path / "wflw", data="wflw")
    assert "files: no photos: their folder is missing" in wrong(sections)
    for name, row in (("files", 1), ("points", 1), ("photos", 0)):
        assert sections[name].rows[row][1] == "no photos"
    assert "no photos" in sections["duplicates"].rows[0]


@pytest.mark.parametrize("left", ["one", "train", "none good"])
def test_what_little_there_is(root: Path, checked: Checked, left: str) -> None:
    if left == "train":
        shutil.rmtree(root / "lfpw/testset")
        shutil.rmtree(root / "ibug")
    for path in sorted(root.rglob("*.pts")):
        if left == "none good":
            path.write_text("no points")
        elif left == "one" and not path.match("afw/0_1.pts"):
            path.unlink()
    sections = checked(root)
    assert ("files" in wrong(sections)) == (left == "none good")
    assert sections["files"].rows[0][3] == ""


class Reader(HTMLParser):
    """Collects what a page refers to, and whether its tags fit."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for key, value in attrs if key in ("src", "href", "srcset", "data", "action")]
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in ("img", "meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_else(root: Path, checked: Checked, tmp_path: Path) -> None:
    shutil.copy(root / "afw/0_1.jpg", root / "afw/<b>&x.jpg")
    shutil.copy(root / "afw/0_1.pts", root / "afw/<b>&x.pts")
    sections = checked(root, "faces=5")
    page = (tmp_path / "run/check.html").read_text()
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    assert all(source.startswith("data:image/") for source in reader.sources)
    assert "url(" not in page
    assert "@import" not in page
    assert "<script" not in page
    assert len(reader.images) == 6
    assert all(image["alt"] for image in reader.images)
    assert reader.tags.count("h2") == len(CHECKS) + 2
    assert "afw/&lt;b&gt;&amp;x" in page
    written = json.loads((tmp_path / "run/check.json").read_text())
    assert [entry["check"] for entry in written["checks"]] == list(CHECKS)
    levels = [finding["level"] for entry in written["checks"] for finding in entry["findings"]]
    assert levels.count(WRONG) == 0
    assert [f.text for s in sections.values() for f in s.findings] == [
        finding["text"] for entry in written["checks"] for finding in entry["findings"]
    ]
    height, width = cv2.imread(str(tmp_path / "run/check.png")).shape[:2]
    assert width > 1600
    assert height > 1200


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("ignore=[count]", "ignore=count: is unknown. Remedy: choose one of files, counts, norms"),
        ("ignore=3", "ignore=3: is unknown"),
        ("ignore=photos", "ignore=photos: is unknown. Remedy: choose one of files, .*, boxes"),
        ("faces=true", "faces=True: is not a whole number of at least 1"),
        ("faces=0", "faces=0: is not a whole number of at least 1"),
        ("limit=none", "limit=none: is not a whole number of at least 1"),
    ],
)
def test_a_setting_that_makes_no_sense(clean: Path, checked: Checked, override: str, words: str) -> None:
    with pytest.raises(KeyposError, match=words):
        checked(clean, override)


def test_a_limit_of_photos(clean: Path, checked: Checked) -> None:
    sections = checked(clean, "limit=2")
    assert sections["files"].rows[:2] == [("good annotations", "11", "3", "6"), ("photos read", "2", "2", "2")]
    assert "files: only 2 photos of each split read, as limit=2 says" in said(sections, NOTE)
    assert "only" not in said(checked(clean, "limit=50"), NOTE)


def test_one_name_to_ignore(clean: Path, checked: Checked) -> None:
    sections = checked(clean, "ignore=counts")
    assert sections["counts"].level == NOTE
    assert wrong(sections) == ""


def test_the_terminal_ends_with_the_worst(capsys: pytest.CaptureFixture[str]) -> None:
    findings = [Finding(WRONG, "2 points", ("a",), "mend `mirrored` in the markup"), Finding(NOTE, "1 face")]
    command.say([Section("flip", "", "", (), [], findings)], "2 faces in 1 s", Path("check.html"))
    *_, note, wrong_line, item, verdict = capsys.readouterr().out.splitlines()
    assert note == "note flip: 1 face"
    assert wrong_line == "wrong flip: 2 points. Remedy: mend `mirrored` in the markup."
    assert item.strip() == "a"
    assert verdict == "2 faces in 1 s. 1 wrong, 1 note: check.html"


def test_the_head_of_the_page_is_plain(composed: Compose) -> None:
    data = ["data=lapa", "data.root=/faces", "data.train=train.json"]
    facts = command.settings(composed(*data, "limit=3", "ignore=counts", name="check"))
    assert {"data.root: /faces", "data.markup: 106", "box.source: landmarks"} <= set(facts)
    assert facts[-2:] == ["limit: 3 photos of each split", "ignored, notes only: counts"]
    assert not any("{" in fact for fact in facts)


@pytest.mark.parametrize(("ignore", "status"), [("[counts]", 0), ("[]", 1)])
def test_the_status_says_whether_something_is_wrong(clean: Path, tmp_path: Path, ignore: str, status: int) -> None:
    if status == 0:  # once as a user runs it
        arguments = ["data=300w", f"data.root={clean}", f"ignore={ignore}", "faces=2", "hydra.run.dir=run"]
        run = [sys.executable, "-m", "keyposs.check", *arguments]
        done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert re.search(r"20 faces in \d+\.\d s\. 0 wrong, 2 notes: .*run/check.html\n$", done.stdout)
        assert (tmp_path / "run/check.png").is_file()
        assert "keyposs:" not in done.stderr
        return
    section = Section("counts", "", "", (), [], [command.page.Finding(WRONG, "off")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "check", lambda config: [section])
        patch.setattr(sys, "argv", ["check", f"hydra.run.dir={tmp_path}"])
        with pytest.raises(SystemExit) as raised:
            command.main()
    assert raised.value.code == 1
