import cv2
import numpy as np
import pytest
from PIL import Image

from keyposs.data import photo
from keyposs.data.photo import check_photo, read_photo
from keyposs.errors import KeyposError

RGB = np.random.default_rng(0).integers(0, 256, (12, 17, 3), dtype=np.uint8)
SMOOTH = cv2.resize(RGB[:3, :4], (64, 48), interpolation=cv2.INTER_CUBIC)
GREY = RGB[..., 0]


def thrice(grey):
    return np.repeat(grey[..., None], 3, axis=2)


def save(tmp_path, array, mode=None, name="a.png", **options):
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(tmp_path / name, **options)
    return tmp_path / name


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.bmp", "é ü.tif"])
def test_rgb_is_read_as_it_is(tmp_path, name):
    np.testing.assert_array_equal(read_photo(save(tmp_path, RGB, name=name)), RGB)


def test_grey_is_repeated(tmp_path):
    np.testing.assert_array_equal(read_photo(save(tmp_path, GREY)), thrice(GREY))


def test_bilevel(tmp_path):
    bits = GREY > 127
    np.testing.assert_array_equal(read_photo(save(tmp_path, bits)), thrice(bits.astype(np.uint8) * 255))


@pytest.mark.parametrize("alpha", [0, 100, 255])
def test_transparent_shows_black(tmp_path, alpha):
    rgba = np.dstack([RGB, np.full(RGB.shape[:2], alpha, np.uint8)])
    expected = np.rint(RGB * (alpha / 255))
    assert np.abs(read_photo(save(tmp_path, rgba)) - expected).max() <= 1
    la = np.dstack([GREY, np.full(GREY.shape, alpha, np.uint8)])
    assert np.abs(read_photo(save(tmp_path, la)) - thrice(np.rint(GREY * (alpha / 255)))).max() <= 1


def test_palette_is_looked_up(tmp_path):
    image = Image.fromarray(GREY // 64).convert("P")
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (9, 8, 7)]
    image.putpalette(sum(colours, ()))
    image.save(tmp_path / "a.png")
    expected = np.array(colours, np.uint8)[GREY // 64]
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png"), expected)
    image.save(tmp_path / "b.png", transparency=1)
    expected[GREY // 64 == 1] = 0
    np.testing.assert_array_equal(read_photo(tmp_path / "b.png"), expected)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_grey_is_scaled(tmp_path, suffix):
    deep = np.linspace(0, 65535, 200).astype(np.uint16).reshape(10, 20)
    cv2.imwrite(str(tmp_path / f"a{suffix}"), deep)
    np.testing.assert_array_equal(read_photo(tmp_path / f"a{suffix}"), thrice(np.rint(deep / 257)))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_rgb_is_scaled(tmp_path, suffix):
    deep = RGB.astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / f"a{suffix}"), deep[..., ::-1])
    np.testing.assert_array_equal(read_photo(tmp_path / f"a{suffix}"), RGB)


def test_16_bit_rgba_is_scaled(tmp_path):
    deep = np.dstack([RGB[..., ::-1], np.full(RGB.shape[:2], 255, np.uint8)]).astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "a.png"), deep)
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png"), RGB)


def test_cmyk_jpeg_has_the_colours_of_its_rgb_twin(tmp_path):
    cmyk = read_photo(save(tmp_path, SMOOTH, "CMYK", name="a.jpg", quality=98)).astype(int)
    assert np.abs(cmyk - SMOOTH).mean() < 4


@pytest.mark.parametrize(("orientation", "turned"), [(1, RGB), (3, RGB[::-1, ::-1]), (6, np.rot90(RGB, -1))])
def test_exif_orientation_only_on_request(tmp_path, orientation, turned):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path, RGB, exif=exif)
    np.testing.assert_array_equal(read_photo(path), RGB)
    np.testing.assert_array_equal(read_photo(path, exif=True), turned)


def broken(tmp_path, kind):
    path = save(tmp_path, SMOOTH, name="face.png" if kind == "png" else "face.jpg")
    whole = path.read_bytes()
    content = {"png": whole[:-40], "half jpg": whole[: len(whole) // 2], "end of jpg": whole[:-2]}
    content |= {"text": b"no image at all", "empty": b""}
    path.write_bytes(content[kind])
    return path


@pytest.mark.parametrize("check", [read_photo, check_photo])
@pytest.mark.parametrize("kind", ["png", "half jpg", "text", "empty"])
def test_broken_photo_is_named(tmp_path, kind, check):
    path = broken(tmp_path, kind)
    with pytest.raises(KeyposError, match=r"face\.\w+: cannot be read as an image.*Remedy"):
        check(path)


@pytest.mark.parametrize("check", [read_photo, check_photo])
def test_missing_photo_is_named(tmp_path, check):
    with pytest.raises(KeyposError, match=r"nobody\.jpg: the photo is missing.*Remedy"):
        check(tmp_path / "nobody.jpg")


def test_whole_photo_is_not_decoded_to_check_it(tmp_path, monkeypatch):
    paths = [save(tmp_path, RGB, name=name) for name in ("a.png", "a.jpg")]
    monkeypatch.setattr(photo, "read_photo", lambda path: pytest.fail("decoded"))
    for path in paths:
        check_photo(path)


def test_bytes_after_the_end_do_no_harm(tmp_path):
    path = save(tmp_path, SMOOTH, name="a.jpg")
    path.write_bytes(path.read_bytes() + b"maker's notes" * 9)
    check_photo(path)
