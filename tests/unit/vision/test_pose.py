import numpy as np
import pytest

from streamd.vision.geometry import TEMPLATE
from streamd.vision.pose import _FACE, pose_of


def turned(yaw: float = 0, pitch: float = 0, roll: float = 0) -> np.ndarray:
    """The average face, turned by degrees and projected to a picture."""
    y, p, r = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return ((_FACE @ (about_z @ about_y @ about_x).T)[:, :2] * 1.7 + 100).astype(np.float32)


def test_the_template_looks_straight_into_the_camera() -> None:
    pose = pose_of(TEMPLATE)
    assert pose is not None
    assert [pose.yaw, pose.pitch, pose.roll] == pytest.approx([0, 0, 0], abs=1e-3)


@pytest.mark.parametrize("degrees", [-50, -20, 15, 40])
def test_each_angle_is_found_alone(degrees: float) -> None:
    for angle in ("yaw", "pitch", "roll"):
        pose = pose_of(turned(**{angle: degrees}))
        assert pose is not None
        assert getattr(pose, angle) == pytest.approx(degrees, abs=9)
        assert sum(abs(getattr(pose, other)) > 9 for other in ("yaw", "pitch", "roll")) == 1


def test_a_nose_towards_the_right_of_the_picture_is_a_yaw_above_0() -> None:
    points = TEMPLATE.copy()
    points[2, 0] += 8
    pose = pose_of(points)
    assert pose is not None
    assert pose.yaw > 10


def test_a_nose_nearer_to_the_eyes_looks_up() -> None:
    points = TEMPLATE.copy()
    points[2, 1] -= 6
    pose = pose_of(points)
    assert pose is not None
    assert pose.pitch > 5


def test_points_on_one_spot_have_no_pose() -> None:
    assert pose_of(np.zeros((5, 2), np.float32)) is None
