"""Curves and histograms as PNG files."""

from __future__ import annotations

from collections.abc import Iterator
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
