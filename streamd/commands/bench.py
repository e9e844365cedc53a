"""``streamd bench``: measures speed and accuracy, on this machine and with one's own data."""

from __future__ import annotations

import argparse
import importlib
from typing import Any

KINDS = {
    "pipeline": "the whole daemon on N cameras of real faces",
    "peers": "the daemon beside a plain OpenCV loop and DeepFace: CPU, recall, false names",
    "detectors": "which labelled faces each detector finds, and how fast",
    "embedders": "what a face costs in each runtime, and whether the vectors are the same",
    "framelink": "how pictures travel between processes, and how old they get",
    "quality": "whether the quality figure predicts errors",
    "accuracy": "how well pairs of photographs are told apart",
    "gallery": "how fast and exact the gallery's search is, up to a million faces",
    "tracking": "how well faces are followed, at low rates of detection too",
    "unknowns": "how well strangers who come again are recognised",
    "identify": "how well known people are named among strangers",
}
"""Each is a module ``streamd.commands.bench_<kind>``."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", metavar="WHAT", required=True)
    for kind, summary in KINDS.items():
        _module(kind).add_arguments(kinds.add_parser(kind, help=summary, description=summary))


def run(args: argparse.Namespace) -> int:
    code: int = _module(args.kind).run(args)
    return code


def _module(kind: str) -> Any:
    return importlib.import_module(f"streamd.commands.bench_{kind}")
