import cv2
import numpy as np
import pytest

from streamd.vision.grey import is_grey


def portrait(seed: int = 1) -> np.ndarray:
    """Skin, hair and background of different hues, with texture."""
    random = np.random.default_rng(seed)
    picture = np.empty((112, 112, 3), np.float32)
    picture[:] = (90, 110, 120)
    cv2.ellipse(picture, (56, 64), (36, 48), 0, 0, 360, (110, 140, 190), -1)
    picture[:24] = (40, 45, 55)
    picture += cv2.GaussianBlur(random.normal(0, 60, (112, 112)).astype(np.float32), (0, 0), 3)[..., None]
    return picture.clip(0, 255).astype(np.uint8)


def without_colour(picture: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8)


def as_jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1), np.uint8)


def test_a_portrait_has_colour() -> None:
    assert not is_grey(portrait())


@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize("tint", [(0, 0, 0), (12, 0, 9)])
def test_a_picture_without_colour_is_grey_also_compressed_and_tinted(quality: int, tint: tuple[int, int, int]) -> None:
    grey = (without_colour(portrait()).astype(np.int16) + np.array(tint)).clip(0, 255).astype(np.uint8)
    assert is_grey(as_jpeg(grey, quality))


def test_a_dim_picture_keeps_its_colour() -> None:
    assert not is_grey((portrait() * 0.35).astype(np.uint8))


def test_a_black_picture_is_not_called_grey() -> None:
    assert not is_grey(np.zeros((112, 112, 3), np.uint8))
