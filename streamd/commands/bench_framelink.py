"""``streamd bench framelink``: pictures between processes."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from streamd.commands.arguments import add_json_argument
from streamd.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from streamd.bench.framelink import Age, Cost

COSTS = (
    "| over | size | full picture | frames a second | us | sender CPU us | receiver CPU us |",
    "|---|---|---|---|---|---|---|",
)
AGES = (
    "| twice overloaded | over | size | age p50 ms | p95 ms | frames |",
    "|---|---|---|---|---|---|",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_json_argument(parser)
    parser.add_argument("--seconds", type=float, default=3.0, metavar="S", help="for each row (default: 3)")


def run(args: argparse.Namespace) -> int:
    from streamd.bench.framelink import ages, costs

    if not 0.1 <= args.seconds <= 600:
        raise UsageError(f"--seconds {args.seconds:g}: 0.1 to 600")
    body: dict[str, list[dict[str, object]]] = {"costs": [], "ages": []}
    _tell(COSTS, args)
    for cost in costs(args.seconds):
        body["costs"].append(asdict(cost))
        _tell([cost_line(cost)], args)
    _tell(["", *AGES], args)
    # A frame takes an eighth of a second there.
    for age in ages(3 * args.seconds):
        body["ages"].append(asdict(age))
        _tell([age_line(age)], args)
    if args.json:
        print(json.dumps(body, indent=2))
    return ExitCode.OK


def _tell(lines: list[str] | tuple[str, ...], args: argparse.Namespace) -> None:
    if not args.json:
        print("\n".join(lines), flush=True)


def cost_line(cost: Cost) -> str:
    rate = f"{cost.frames_per_second:.0f}{'' if cost.paced else ' (saturated)'}"
    return (
        f"| {cost.transport} | {cost.width}x{cost.height} | {'with' if cost.picture else 'without'} | {rate} "
        f"| {cost.us:.0f} | {cost.sender_cpu_us:.0f} | {cost.receiver_cpu_us:.0f} |"
    )


def age_line(age: Age) -> str:
    return (
        f"| {age.way} | {age.transport} | {age.width}x{age.height} | {age.p50_ms:.0f} | {age.p95_ms:.0f} "
        f"| {age.frames} |"
    )
