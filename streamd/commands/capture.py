"""``streamd capture``: one camera's process; by hand also on another host, connected to a worker over tcp."""

from __future__ import annotations

import argparse
import os
import re
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from streamd.child import ChildContext, Launch, run_alone, run_supervised
from streamd.commands.arguments import add_config_argument
from streamd.config import CameraConfig, Config
from streamd.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    parser.add_argument("--camera", metavar="NAME", help="the camera to capture")
    parser.add_argument("--connect", metavar="ENDPOINT", help="the worker: tcp://HOST:PORT (default: this host's)")
    parser.add_argument(
        "--url",
        default=os.environ.get("STREAMD_URL"),
        help="the camera's address (default: $STREAMD_URL, which 'ps' shows nobody, else the configuration's)",
    )
    parser.add_argument(
        "--substream", metavar="URL", help="a smaller stream of the same view, to be watched in its place"
    )
    parser.add_argument("--key", type=Path, metavar="FILE", help="this camera's secret key (NAME.key_secret)")
    parser.add_argument("--server-key", type=Path, metavar="FILE", help="the worker's public key (worker.key)")
    parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    if args.supervised:
        return run_supervised(_serve_locally)
    if not args.camera:
        raise UsageError("name the camera: --camera NAME")
    return run_alone(*_by_hand(args))


def _serve_locally(context: ChildContext) -> int:
    from streamd.capture import serve
    from streamd.endpoints import frames_endpoint

    return serve(context, endpoint=frames_endpoint(context.config.sockets_dir, context.index))


def _by_hand(args: argparse.Namespace):  # type: ignore[no-untyped-def]  # (Launch, Serve)
    from streamd.capture import serve
    from streamd.configfile import load_config
    from streamd.endpoints import frames_endpoint
    from streamd.sockets import CurveClient

    config = load_config(args.config)
    camera = _camera(config, args)
    only = config.model_copy(update={"cameras": {args.camera: camera}})
    if bool(args.key) != bool(args.server_key):
        raise UsageError("--key and --server-key go together")
    curve = CurveClient(args.key, args.server_key) if args.key else None
    if args.connect and not re.fullmatch(r"tcp://[^\s]+:\d{1,5}|ipc://\S+", args.connect):
        raise UsageError(f"--connect {args.connect}: should be tcp://HOST:PORT")
    if camera.is_whip and args.connect and args.connect.startswith("tcp://"):
        raise UsageError("--connect: browsers and phones send to a camera of the gateway's own host")
    endpoint = args.connect or frames_endpoint(config.sockets_dir, 0)
    launch = Launch(f"capture@{args.camera}", 0, "", only)
    return launch, partial(serve, endpoint=endpoint, curve=curve)


def _camera(config: Config, args: argparse.Namespace) -> CameraConfig:
    known = config.cameras.get(args.camera)
    if args.url:
        return _checked(known or CameraConfig(remote=True, capture=config.capture, detection=config.detection), args)
    if args.substream:
        raise UsageError("--substream goes with --url")
    if known is None or known.url is None:
        raise UsageError(f"camera {args.camera!r} has no url in the configuration: give --url")
    return known


def _checked(base: CameraConfig, args: argparse.Namespace) -> CameraConfig:
    given = {"url": args.url, "substream": args.substream, "remote": False}
    try:
        return CameraConfig.model_validate(base.model_dump() | given)
    except ValidationError as error:
        raise UsageError(error.errors()[0]["msg"]) from None
