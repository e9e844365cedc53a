import io

import av
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


def as_video(pictures: list[np.ndarray], crf: int) -> list[np.ndarray]:
    """Encoded as H.264 and decoded again."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": str(crf)})
        stream.width, stream.height, stream.pix_fmt = 112, 112, "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file, "r") as encoded:
        return [frame.to_ndarray(format="bgr24") for frame in encoded.decode(video=0)]


def test_a_portrait_has_colour() -> None:
    assert not is_grey(portrait())


@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize("tint", [(0, 0, 0), (12, 0, 9)])
def test_a_picture_without_colour_is_grey_also_compressed_and_tinted(quality: int, tint: tuple[int, int, int]) -> None:
    grey = (without_colour(portrait()).astype(np.int16) + np.array(tint)).clip(0, 255).astype(np.uint8)
    assert is_grey(as_jpeg(grey, quality))


@pytest.mark.parametrize("gain", [(1.08, 0.94, 1.08), (0.94, 1.05, 0.95)])
def test_a_tint_that_grows_with_brightness_is_no_colour(gain: tuple[float, float, float]) -> None:
    tinted = (without_colour(portrait()) * np.array(gain)).clip(0, 255).astype(np.uint8)
    assert is_grey(as_jpeg(tinted, 75))


@pytest.mark.parametrize("crf", [20, 34])
def test_a_video_without_colour_is_grey_and_one_with_is_not(crf: int) -> None:
    portraits = [portrait(seed) for seed in range(4)]
    assert all(is_grey(frame) for frame in as_video([without_colour(p) for p in portraits], crf))
    assert not any(is_grey(frame) for frame in as_video(portraits, crf))


def test_one_colour_over_everything_is_a_tint() -> None:
    assert is_grey(np.full((112, 112, 3), (60, 90, 160), np.uint8))


def test_size_does_not_matter() -> None:
    large = cv2.resize(portrait(), (640, 640), interpolation=cv2.INTER_CUBIC)
    assert not is_grey(np.asarray(large, np.uint8))
    assert is_grey(without_colour(np.asarray(large, np.uint8)))


def test_a_dim_picture_keeps_its_colour() -> None:
    assert not is_grey((portrait() * 0.35).astype(np.uint8))


def test_a_black_picture_is_not_called_grey() -> None:
    assert not is_grey(np.zeros((112, 112, 3), np.uint8))
