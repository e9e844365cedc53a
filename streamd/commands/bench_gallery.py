"""``streamd bench gallery``: the search structures side by side."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from streamd.commands.arguments import add_json_argument
from streamd.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from streamd.bench.gallery import Row


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_json_argument(parser)
    parser.add_argument(
        "--sizes",
        default="1000,10000,100000",
        metavar="N[,N...]",
        help="faces (default: %(default)s; a million takes some minutes to build)",
    )
    parser.add_argument("--engines", default="", metavar="NAME[,NAME...]", help="of exact, hnsw, faiss, usearch")


def run(args: argparse.Namespace) -> int:
    from streamd.bench.gallery import KINDS, compare, crossover, engines

    sizes, only = _sizes(args.sizes), [name for name in args.engines.split(",") if name]
    if unknown := set(only) - set(engines()):
        raise UsageError(f"{', '.join(sorted(unknown))}: not installed; there are {', '.join(engines())}")
    rows = []
    if not args.json:
        print("faces     data       engine   build s   memory   p50 us    p99 us    16: p50 us  recall   ef     load s")
    for row in _progress(compare(sizes, KINDS, only=only)):
        rows.append(row)
        if not args.json:
            print(_line(row), flush=True)
    faster_from = crossover(rows)
    if args.json:
        print(json.dumps({"rows": [asdict(row) for row in rows], "hnsw_faster_from": faster_from}, indent=2))
    elif faster_from:
        print(f"of these sizes, approximate search is faster from {faster_from} faces on (gallery.hnsw_from)")
    return ExitCode.OK


def _sizes(text: str) -> list[int]:
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--sizes {text!r}: whole numbers, separated by commas") from error
    if min(sizes) < 16 or max(sizes) > 10_000_000:
        raise UsageError(f"--sizes {text!r}: 16 to 10000000")
    return sizes


def _progress(rows: Iterator[Row]) -> Iterator[Row]:
    shown = sys.stderr.isatty()
    while True:
        if shown:
            print("measuring...", end="", file=sys.stderr, flush=True)
        row = next(rows, None)
        if shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        if row is None:
            return
        yield row


def _line(row: Row) -> str:
    ef = "-" if row.ef is None else str(row.ef)
    load = "-" if row.load_s is None else f"{row.load_s:.2f}"
    return (
        f"{row.faces:<10}{row.kind:<11}{row.engine:<9}{row.build_s:<10.2f}{row.memory_ratio:<9.2f}{row.p50_us:<10.0f}"
        f"{row.p99_us:<10.0f}{row.batch16_p50_us:<12.0f}{row.recall:<9.4f}{ef:<7}{load}"
    )
