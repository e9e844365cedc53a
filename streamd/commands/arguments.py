"""Options that many commands have, and what they ask of the terminal."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamd.errors import UsageError

if TYPE_CHECKING:
    from streamd.config import Config


def add_config_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        metavar="FILE",
        help="configuration (default: $STREAMD_CONFIG, ./streamd.yaml, /etc/streamd/streamd.yaml)",
    )


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON for programs")


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--detector", metavar="NAME", help="detector to use (default: the configuration's)")
    parser.add_argument("--embedder", metavar="NAME", help="embedder to use (default: the configuration's)")


def add_settings_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any setting: workers.runtime=onnxruntime"
    )


def wants_colour() -> bool:
    """Whether standard output is a terminal that has colours, whose user has not asked for plain text
    (https://no-color.org)."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")


def settings_of(entries: Sequence[str]) -> dict[str, Any]:
    """What ``--set`` was given, by dotted path. Raises UsageError."""
    import yaml

    settings: dict[str, Any] = {}
    for entry in entries:
        key, equals, value = entry.partition("=")
        if not key or not equals:
            raise UsageError(f"--set {entry}: give KEY=VALUE, like workers.runtime=onnxruntime")
        settings[key] = yaml.safe_load(value)
    return settings


def with_models(args: argparse.Namespace) -> Config:
    """The configuration with the models that the command line names."""
    from streamd.configfile import load_config

    config = load_config(args.config)
    detection, recognition = config.detection, config.recognition
    if args.detector:
        detection = detection.model_copy(update={"model": args.detector})
    if args.embedder:
        recognition = recognition.model_copy(update={"embedder": args.embedder})
    return config.model_copy(update={"detection": detection, "recognition": recognition})
