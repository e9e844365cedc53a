"""Curves and histograms as PNG files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from streamd.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Scores = NDArray[np.float64]


@contextmanager
def _figure(path: Path, title: str) -> Iterator[Any]:
    """Axes that are written to ``path`` at the end. Raises UsageError where that cannot be done."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), dpi=110, layout="constrained")
    try:
        axes.set_title(title)
        axes.grid(alpha=0.3)
        yield axes
        figure.savefig(path, format="png")
    except OSError as error:
        raise UsageError(f"{path}: cannot write the picture: {error.strerror or error}") from error
    finally:
        pyplot.close(figure)


def draw_roc(path: Path, far: Scores, tar: Scores, *, title: str) -> None:
    """True- against false-accept rate, the latter on a logarithmic axis."""
    shown = far > 0
    with _figure(path, title) as axes:
        axes.semilogx(far[shown], tar[shown], drawstyle="steps-post")
        axes.set_xlabel("false-accept rate")
        axes.set_ylabel("true-accept rate")
        axes.set_ylim(top=1.002)


def draw_scores(path: Path, *, genuine: Scores, impostor: Scores, threshold: float) -> None:
    """How similar one person is to themself and different people to each other, with the threshold between."""
    edges = np.linspace(-0.4, 1.0, 113)
    with _figure(path, "similarities in this gallery") as axes:
        for scores, label in ((impostor, "different people"), (genuine, "one person")):
            if len(scores):
                axes.hist(scores, edges, density=True, alpha=0.6, label=f"{label} ({len(scores)})")
        axes.axvline(threshold, color="black", linestyle="--", label=f"threshold {threshold:.3f}")
        axes.set_xlabel("similarity (cosine)")
        axes.set_ylabel("density")
        axes.legend()


def draw_lines(path: Path, lines: dict[str, tuple[Scores, Scores]], *, title: str, labels: tuple[str, str]) -> None:
    """Several named curves of x and y; ``labels`` name the axes."""
    with _figure(path, title) as axes:
        for name, (x, y) in lines.items():
            axes.plot(x, y, marker="o", markersize=3, label=name)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        axes.legend()


def draw_sweep(path: Path, rows: Sequence[Mapping[str, Any]], *, most_age_s: float) -> None:
    """Age of frames, time to a name and CPU against the number of cameras."""
    cameras = [row["cameras"] for row in rows]
    with _figure(
        path, f"{rows[0]['resolution']}, {rows[0]['fps']} frames a second, {rows[0]['people']} people"
    ) as axes:
        for key, label in (
            ("frame_age_p50_s", "age of frames, p50"),
            ("frame_age_p95_s", "age of frames, p95"),
            ("time_to_identity_p50_s", "time to a name, p50"),
        ):
            axes.plot(cameras, [1000 * row[key] if row[key] else np.nan for row in rows], marker="o", label=label)
        axes.axhline(1000 * most_age_s, color="grey", linestyle=":")
        axes.set_xscale("log", base=2)
        axes.set_xticks(cameras, [str(count) for count in cameras])
        axes.set_xlabel("cameras")
        axes.set_ylabel("milliseconds")
        axes.set_ylim(bottom=0)
        beside = axes.twinx()
        beside.plot(cameras, [row["cpu_seconds_per_camera_second"] for row in rows], color="black", linestyle="--")
        beside.set_ylabel("CPU seconds per camera-second (dashed)")
        beside.set_ylim(bottom=0)
        axes.legend(loc="upper left")
