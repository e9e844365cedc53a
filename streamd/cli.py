"""The command line: a table of verbs, each in its own module, loaded only when called."""

from __future__ import annotations

import argparse
import errno
import importlib
import io
import os
import sys
from collections.abc import Sequence

import streamd
from streamd.discretion import keep_to_ourselves
from streamd.errors import ExitCode, StreamdError

VERBS: dict[str, str] = {
    "run": "watch the cameras (the daemon)",
    "check": "validate the configuration without starting",
    "models": "list, fetch and verify model files",
    "enroll": "add a person by photographs",
    "person": "list, label, merge and forget people",
    "unknown": "strangers who are recognised without a name",
    "gallery": "state, history, export, backup and key of the gallery",
    "recognize": "say who is on photographs",
    "verify": "say whether two photographs show the same person",
    "replay": "say what the daemon would have said about videos, and how right",
    "events": "print past events and follow new ones",
    "explain": "say why a face got its name, or none",
    "bench": "measure speed and accuracy",
    "doctor": "find out what is wrong with this installation",
    "install": "make it a service of systemd",
    "uninstall": "take the service away, and leave the data",
    "state": "what wrote the state directory, backups of upgrades, and the way back",
    "keys": "make keys for cameras on other hosts",
    "user": "who may use the page and the API",
    "openapi": "print the HTTP API as an OpenAPI document",
}
ROLES: dict[str, str] = {
    "capture": "one camera's process (also by hand, on another host)",
    "worker": "the inference process",
    "publisher": "the event process",
    "courier": "delivers events to MQTT, NATS, webhooks, files and commands",
    "gateway": "the HTTP process",
    "printer": "prints a line per event (run --print-events)",
}
"""Each name is a module ``streamd.commands.<name>`` with ``add_arguments(parser)`` and ``run(args) -> int``."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]  # argparse's own never returns either
        self.print_usage(sys.stderr)
        self.exit(ExitCode.USAGE, f"{self.prog}: {message}\n")


def _overview() -> str:
    width = max(len(name) for name in (*VERBS, *ROLES)) + 2
    verbs = "\n".join(f"  {name:<{width}}{text}" for name, text in VERBS.items())
    roles = "\n".join(f"  {name:<{width}}{text}" for name, text in ROLES.items())
    return f"commands:\n{verbs}\n\nprocesses (started by 'run'):\n{roles}\n\n'streamd COMMAND --help' explains one."


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the return value is the process's exit code."""
    keep_to_ourselves()  # whatever a class of the user's own may load
    args = list(sys.argv[1:] if argv is None else argv)
    top = _Parser(
        prog="streamd",
        description="Watches live video and says who is there.",
        epilog=_overview(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"streamd {streamd.__version__}")
    top.add_argument("command", metavar="COMMAND", choices=[*VERBS, *ROLES])
    _prepare_streams()
    command = top.parse_args(args[:1] or ["--help"]).command
    try:
        code = _run(command, args[1:])
        sys.stdout.flush()
    except StreamdError as error:
        print(_in_words(error, command), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `streamd events | head`
        _print_no_more()
        return ExitCode.OK
    except OSError as error:
        full = error.errno == errno.ENOSPC  # of what standard output goes to, where no file is named
        if command in ROLES or (error.filename is None and not full):
            raise
        where = "" if error.filename is None else f"{error.filename}: "
        print(f"streamd {command}: {where}{(error.strerror or str(error)).lower()}", file=sys.stderr)
        if full:
            _print_no_more()
        return ExitCode.UNAVAILABLE
    return code


def _prepare_streams() -> None:
    """What was closed is empty: else the next file would get its number, and what is printed would go there.

    A file name that is not UTF-8 is printed with escapes, which JSON has as well, and ends no command half-way.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115, PTH123  # for as long as the process lives
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _print_no_more() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(command: str, args: Sequence[str]) -> int:
    module = importlib.import_module(f"streamd.commands.{command}")
    parser = _Parser(prog=f"streamd {command}", description={**VERBS, **ROLES}[command])
    module.add_arguments(parser)
    # Options may stand among what is given, as in `enroll NAME --force PHOTO`; where there are verbs, or after "--",
    # argparse cannot.
    plain = parser._subparsers is not None or "--" in args
    return int(module.run(parser.parse_args(args) if plain else parser.parse_intermixed_args(args)))


def _in_words(error: StreamdError, command: str) -> str:
    from streamd.config import redact
    from streamd.errors import ConfigError

    if isinstance(error, ConfigError):
        return redact(str(error))
    return f"streamd {command}: {redact(str(error))}"
