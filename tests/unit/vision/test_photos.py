from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from streamd.errors import PhotoRefused
from streamd.vision import photos
from streamd.vision.photoheader import read_header
from streamd.vision.photos import decode_photo, read_photo, shrink_for_detection

Array = NDArray[np.uint8]


def picture(height: int = 90, width: int = 120) -> Array:
    """Smooth, coloured, and different in each corner."""
    ys, xs = np.mgrid[0:height, 0:width]
    channels = (xs * 255 // width, ys * 255 // height, (xs + ys) * 120 // (width + height))
    return np.dstack(channels).astype(np.uint8)


def encoded(image: NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32], suffix: str, *params: int) -> bytes:
    ok, data = cv2.imencode(suffix, image, list(params))
    assert ok
    return bytes(data.tobytes())


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def as_a_camera_stores_it(image: Array, orientation: int) -> Array:
    """The rows as they lie in the file of a photo that is to be shown as ``image`` (EXIF 2.3, table of tag 274)."""
    stored = {
        1: image,
        2: image[:, ::-1],
        3: image[::-1, ::-1],
        4: image[::-1],
        5: image.swapaxes(0, 1),
        6: image.swapaxes(0, 1)[::-1],
        7: image.swapaxes(0, 1)[::-1, ::-1],
        8: image.swapaxes(0, 1)[:, ::-1],
    }
    return np.ascontiguousarray(stored[orientation])


def saved(image: Array, kind: str, *, orientation: int = 1, alpha: Array | bool = False) -> bytes:
    """A file of this kind; an ``alpha`` of True is opaque."""
    channels = [image[..., ::-1]]
    if alpha is not False:
        channels.append(np.full(image.shape[:2], 255, np.uint8) if alpha is True else alpha)
    exif = Image.Exif()
    exif[274] = orientation
    file = io.BytesIO()
    options: dict[str, object] = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    Image.fromarray(np.dstack(channels)).save(file, kind, exif=exif, **options)
    return file.getvalue()


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def refusal(data: bytes) -> str:
    with pytest.raises(PhotoRefused) as caught:
        decode_photo(data, origin="album/anna.jpg")
    assert caught.value.reason == "unreadable"
    assert str(caught.value).startswith("album/anna.jpg: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff"])
def test_common_formats_come_back_as_they_went_in(suffix: str) -> None:
    image = picture()
    decoded = decode_photo(encoded(image, suffix))
    assert decoded.shape == image.shape
    assert np.abs(decoded.astype(int) - image).mean() < 4
    header = read_header(encoded(image, suffix))
    assert (header.width, header.height) == (120, 90)


def test_colours_are_in_blue_green_red_order() -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    image[..., 2] = 200
    assert decode_photo(encoded(image, ".png"))[20, 20].tolist() == [0, 0, 200]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "alpha"),
    [("JPEG", False), *((kind, alpha) for kind in ("PNG", "WEBP", "TIFF") for alpha in (False, True))],
)
def test_a_photo_taken_sideways_stands_upright(kind: str, orientation: int, alpha: bool) -> None:
    stored = as_a_camera_stores_it(picture(), orientation)
    decoded = decode_photo(saved(stored, kind, orientation=orientation, alpha=alpha))
    assert decoded.shape == picture().shape
    assert np.abs(decoded.astype(int) - picture()).mean() < 4


@pytest.mark.parametrize("alpha", [False, True])
def test_an_impossible_orientation_leaves_the_photo_as_it_is(alpha: bool) -> None:
    assert np.array_equal(decode_photo(saved(picture(), "PNG", orientation=77, alpha=alpha)), picture())


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_printers_colours_do_not_come_out_negative(kind: str) -> None:
    file = io.BytesIO()
    Image.fromarray(picture()[..., ::-1]).convert("CMYK").save(file, kind)
    assert np.abs(decode_photo(file.getvalue()).astype(int) - picture()).mean() < 4


def test_the_colours_of_a_palette_are_seen() -> None:
    file = io.BytesIO()
    Image.fromarray(picture()[..., ::-1]).quantize(256).save(file, "PNG")
    assert np.abs(decode_photo(file.getvalue()).astype(int) - picture()).mean() < 12


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_become_eight(suffix: str) -> None:
    image = picture()
    decoded = decode_photo(encoded(image.astype(np.uint16) * 257, suffix))
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, image)


def test_grey_photos_get_three_channels() -> None:
    grey = picture()[..., 0]
    decoded = decode_photo(encoded(grey, ".png"))
    assert np.array_equal(decoded, np.dstack([grey] * 3))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_what_nobody_sees_becomes_black(kind: str) -> None:
    image = picture()
    alpha = np.full(image.shape[:2], 255, np.uint8)
    alpha[:, :60] = 0
    decoded = decode_photo(saved(image, kind, alpha=alpha))
    assert not decoded[:, :58].any()
    assert np.abs(decoded[:, 62:].astype(int) - image[:, 62:]).mean() < 1


def test_half_transparent_is_half_as_bright_also_in_sixteen_bits() -> None:
    image = np.dstack([picture(), np.full((90, 120), 128, np.uint8)])
    for stored in (image, image.astype(np.uint16) * 257):
        decoded = decode_photo(encoded(stored, ".png"))
        assert np.abs(decoded.astype(int) - picture() / 2).max() <= 2


def test_of_an_animation_the_first_picture_is_taken() -> None:
    first, second = picture(), 255 - picture()
    animation = cv2.Animation()
    animation.frames = [np.dstack([f, np.full(f.shape[:2], 255, np.uint8)]) for f in (first, second)]
    animation.durations = [100, 100]
    ok, data = cv2.imencodeanimation(".webp", animation)
    assert ok
    decoded = decode_photo(data.tobytes())
    assert np.abs(decoded.astype(int) - first).mean() < 8


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.99])
def test_a_cut_off_file_is_refused(suffix: str, share: float) -> None:
    data = encoded(picture(), suffix)
    refusal(data[: int(len(data) * share)])


def test_a_jpeg_with_a_whole_thumbnail_and_half_a_picture_is_refused() -> None:
    thumbnail = encoded(picture(9, 12), ".jpg")
    whole = encoded(picture(), ".jpg")
    body = b"Exif\0\0" + thumbnail
    data = whole[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + whole[2:]
    decode_photo(data)
    assert "cut off" in refusal(data[: len(data) - len(whole) // 3])


def test_damaged_pixels_are_refused() -> None:
    data = bytearray(encoded(picture(), ".png"))
    data[60:200] = bytes(140)
    assert "damaged" in refusal(bytes(data))


def test_a_huge_photo_is_refused_before_it_is_decoded() -> None:
    data = png_claiming(30_000, 30_000)
    tracemalloc.start()
    message = refusal(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "30000 x 30000" in message
    assert "50 megapixels" in message
    assert peak < 1_000_000


def test_a_telephones_photo_above_the_limit_comes_at_half_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "MAX_PIXELS", 90 * 120 // 4)
    decoded = decode_photo(saved(picture(), "JPEG", orientation=6))
    assert decoded.shape == (60, 45, 3)
    upright = cv2.resize(cv2.rotate(picture(), cv2.ROTATE_90_CLOCKWISE), (45, 60), interpolation=cv2.INTER_AREA)
    assert np.abs(decoded.astype(int) - upright).mean() < 4


def test_a_huge_jpeg_that_cannot_be_decoded_by_rows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "MAX_PIXELS", 90 * 120 // 4)
    assert "120 x 90 pixels" in refusal(encoded(picture(), ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"%PDF-1.7 ...", "a pdf is not a photo"),
        (b"GIF89a...", "a gif is not a photo"),
        (b"\0\0\0\x18ftypheic....", "a heic file is not a photo"),
        ("just some words, grüezi\n".encode(), "text is not a photo"),
        (os.urandom(16).replace(b"\xff", b"\0") + b"\x80\xfe" * 200, "this file is not a photo"),
        (encoded(np.ones((4, 4), np.float32), ".tiff"), "a tiff of 32 bits per sample"),
        (b"\xff\xd8\xff", "damaged jpeg"),
        (b"\x89PNG\r\n\x1a\n", "damaged png"),
        (b"II*\0", "damaged tiff"),
        (b"MM\0*\xff\xff\xff\xff", "damaged tiff"),
        (b"BM", "damaged bmp"),
        (b"RIFF\x10\0\0\0WEBPVP8X", "webp file is cut off"),
    ],
)
def test_what_is_not_a_photo_is_named(data: bytes, said: str) -> None:
    assert said in refusal(data)


def test_each_kind_of_missing_file_has_its_own_line(tmp_path: Path) -> None:
    empty, pipe = tmp_path / "empty.jpg", tmp_path / "pipe.jpg"
    empty.touch()
    os.mkfifo(pipe)
    said = {}
    for path in (tmp_path / "none.jpg", tmp_path, empty, pipe):
        with pytest.raises(PhotoRefused) as caught:
            read_photo(path)
        assert caught.value.reason == "unreadable"
        said[path.name] = str(caught.value)
    assert said["none.jpg"].endswith("none.jpg: no such file")
    assert said[tmp_path.name].endswith("is a folder, not a photo")
    assert said["empty.jpg"].endswith("the file is empty")
    assert said["pipe.jpg"].endswith("is not a regular file")


def test_a_refused_file_is_closed(tmp_path: Path) -> None:
    before = open_files()
    for _ in range(5):
        with pytest.raises(PhotoRefused):
            read_photo(tmp_path)
    assert open_files() == before


def test_large_photos_are_scaled_down_for_detection_only() -> None:
    small, scale = shrink_for_detection(np.zeros((3000, 4000, 3), np.uint8))
    assert small.shape == (1440, 1920, 3)
    assert scale == pytest.approx(0.48)
    image = np.zeros((100, 80, 3), np.uint8)
    same, scale = shrink_for_detection(image)
    assert same is image
    assert scale == 1.0
