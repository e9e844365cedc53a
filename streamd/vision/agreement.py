"""Whether a prepared model still says what the original says, by OpenCV's reading of the original.

The inputs are fixed noise with coarse structure: no face is needed, because the raw outputs are compared,
and every channel, row and column differs, so that a swap or a shift of any of them shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from streamd.errors import ModelError
from streamd.vision.haar import read_cascade
from streamd.vision.onnx import Session, open_bundle, open_session

Array = NDArray[np.float32]

_TOLERANCE = 1e-4
"""Absolute and relative. Different orders of summation differ by some 1e-6."""
_FREE_SIZES = ((256, 320), (96, 160))
"""Heights and widths: two, so that a size baked into the graph shows."""


def check_yunet(prepared: Path, originals: Sequence[Path]) -> None:
    """Compare all twelve heads at two sizes, and a batch with its single pictures. Raises ModelError."""
    _check_any_size(prepared, originals)


def check_centerface(prepared: Path, originals: Sequence[Path]) -> None:
    """Compare the four maps at two sizes, and a batch with its single pictures. Raises ModelError."""
    _check_any_size(prepared, originals)


def check_cascade(prepared: Path, originals: Sequence[Path]) -> None:
    """A cascade need only be one that OpenCV reads. Raises ModelError."""
    read_cascade(prepared)


def check_bundle(prepared: Path, originals: Sequence[Path]) -> None:
    """Each network of a bundle can be opened. Raises ModelError."""
    open_bundle(prepared, device="cpu")


def check_same(prepared: Path, originals: Sequence[Path]) -> None:
    """Weights that only their own library reads: a copy, and nothing else. Raises ModelError."""
    if prepared.read_bytes() != originals[0].read_bytes():
        raise ModelError(f"{prepared}: differs from {originals[0]}; run 'streamd models pull' again")


def _check_any_size(prepared: Path, originals: Sequence[Path]) -> None:
    session = open_session(prepared, device="cpu")
    names = list(session.outputs)
    (fed,) = session.inputs
    for height, width in _FREE_SIZES:
        net = _read_net(originals[0])  # OpenCV's own does not bear a change of size with every graph
        blob = noise(2, height, width)
        expected = {name: [] for name in names}  # type: dict[str, list[Array]]
        for row in blob:
            net.setInput(row[None])
            for name, value in zip(names, net.forward(names), strict=True):
                expected[name].append(np.asarray(value, np.float32))
        wanted = {name: np.concatenate(values) for name, values in expected.items()}
        _compare(prepared, session.run({fed: blob}), wanted)


def check_sface(prepared: Path, originals: Sequence[Path]) -> None:
    """Compare raw embeddings, one by one and as a batch. Raises ModelError."""
    session = open_session(prepared, device="cpu")
    try:
        recogniser = cv2.FaceRecognizerSF.create(str(originals[0]), "")
    except cv2.error as error:
        raise _unreadable(originals[0], error) from error
    pictures = noise(3, 112, 112).round().astype(np.uint8)
    chips = np.ascontiguousarray(pictures.transpose(0, 2, 3, 1))
    expected = np.concatenate([recogniser.feature(chip) for chip in chips])
    # OpenCV takes BGR and swaps; the graph takes RGB.
    blob = np.ascontiguousarray(pictures[:, ::-1], np.float32)
    _compare(prepared, session.run({"data": blob}), {"fc1": expected})


def check_ssd(prepared: Path, originals: Sequence[Path]) -> None:
    """Compare the boxes and scores of every anchor. Raises ModelError."""
    session = open_session(prepared, device="cpu")
    net = _read_net(originals[0], originals[1])
    blob = noise(2, 300, 300) - 120
    rows = [_decoded_ssd(net, row[None]) for row in blob]
    expected = {"boxes": np.stack([b for b, _ in rows]), "scores": np.stack([s for _, s in rows])}
    _compare(prepared, session.run({"data": blob}), expected)


def check_loads(prepared: Path, originals: Sequence[Path]) -> None:
    """An original that is used as it is need only be one that can be opened. Raises ModelError."""
    session: Session = open_session(prepared, device="cpu")
    if len(session.inputs) != 1:
        raise ModelError(f"{originals[0]}: has inputs {', '.join(session.inputs)}, needs exactly one")


def noise(count: int, height: int, width: int) -> Array:
    """Fixed pictures, values 0..255, shape (count, 3, height, width): coarse blobs and fine grain."""
    random = np.random.default_rng(20231)
    grain = random.uniform(0, 255, (count, 3, height, width))
    cells = random.uniform(0, 255, (count, 3, -(-height // 16), -(-width // 16)))
    coarse = cells.repeat(16, axis=2).repeat(16, axis=3)[:, :, :height, :width]
    return np.asarray(0.7 * coarse + 0.3 * grain, np.float32)


def _decoded_ssd(net: cv2.dnn.Net, blob: Array) -> tuple[Array, Array]:
    """Boxes and scores from the layers before OpenCV's own non-maximum suppression."""
    net.setInput(blob)
    locations, confidences, priors = net.forward(["mbox_loc", "mbox_conf_flatten", "mbox_priorbox"])
    offset, anchor = locations.reshape(-1, 4), priors[0, 0].reshape(-1, 4)
    size = anchor[:, 2:] - anchor[:, :2]
    centre = (anchor[:, :2] + anchor[:, 2:]) / 2 + 0.1 * offset[:, :2] * size
    half = size * np.exp(0.2 * offset[:, 2:]) / 2
    boxes = np.concatenate([centre - half, centre + half], axis=1)
    return np.asarray(boxes, np.float32), np.asarray(confidences.reshape(-1, 2)[:, 1], np.float32)


def _read_net(*paths: Path) -> cv2.dnn.Net:
    try:
        if len(paths) == 1:
            return cv2.dnn.readNetFromONNX(str(paths[0]))
        return cv2.dnn.readNetFromCaffe(str(paths[1]), str(paths[0]))
    except cv2.error as error:
        raise _unreadable(paths[0], error) from error


def _unreadable(path: Path, error: cv2.error) -> ModelError:
    return ModelError(f"{path}: OpenCV {cv2.__version__} cannot read it to compare: {error}".strip())


def _compare(prepared: Path, got: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
    for name, wanted in expected.items():
        value = got.get(name)
        if value is None or value.shape != wanted.shape:
            shape = None if value is None else value.shape
            raise ModelError(f"{prepared.name}: output '{name}' has shape {shape}, the original's {wanted.shape}")
        if not np.allclose(value, wanted, rtol=_TOLERANCE, atol=_TOLERANCE):
            worst = float(np.abs(value - wanted).max())
            raise ModelError(f"{prepared.name}: output '{name}' differs from the original's by up to {worst:.2g}")
