"""``streamd keys``: CURVE keys for cameras that are captured on other hosts."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from streamd.errors import UnavailableError, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["new"], help="make a pair of keys")
    parser.add_argument("name", metavar="NAME", help="'worker', or the name of the camera")
    parser.add_argument("--dir", type=Path, default=Path(), metavar="DIR", help="where to (default: here)")


def run(args: argparse.Namespace) -> int:
    import zmq.auth

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", args.name):
        raise UsageError(f"{args.name!r}: a name is letters, digits, '-' and '_'")
    public, secret = args.dir / f"{args.name}.key", args.dir / f"{args.name}.key_secret"
    for path in (public, secret):
        if path.exists():
            raise UsageError(f"{path}: exists already; remove it first if it is not in use")
    before = os.umask(0o077)
    try:
        args.dir.mkdir(parents=True, exist_ok=True)
        zmq.auth.create_certificates(args.dir, args.name)
    except OSError as error:
        for path in (public, secret):  # half a pair would be in the way of the next try
            path.unlink(missing_ok=True)
        raise UnavailableError(f"{args.dir}: keys cannot be written: {error.strerror}") from error
    finally:
        os.umask(before)
    public.chmod(0o644)
    print(f"{secret}  keep this one secret, on the host that is {args.name!r}")
    print(f"{public}  give this one to the other side")
    return 0
