"""The command line: a table of verbs, each in its own module, loaded only when called."""

from __future__ import annotations

import argparse
import errno
import importlib
import io
import json
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import streamd
from streamd.discretion import keep_to_ourselves
from streamd.errors import ConfigError, ExitCode, StreamdError, one_line

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


class _WrongUse(SystemExit):
    """The command line cannot be read; ``message`` has been printed."""

    def __init__(self, message: str) -> None:
        super().__init__(ExitCode.USAGE)
        self.message = message


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        print(f"{self.prog}: {message}", file=sys.stderr)
        raise _WrongUse(message)


def _overview() -> str:
    width = max(len(name) for name in (*VERBS, *ROLES)) + 2
    verbs = "\n".join(f"  {name:<{width}}{text}" for name, text in VERBS.items())
    roles = "\n".join(f"  {name:<{width}}{text}" for name, text in ROLES.items())
    return f"commands:\n{verbs}\n\nprocesses (started by 'run'):\n{roles}\n\n'streamd COMMAND --help' explains one."


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the return value is the process's exit code.

    With ``--json`` a failure is the last line on standard output, too: an object with ``error`` and ``exit``.
    """
    keep_to_ourselves()  # whatever a class of the user's own may load
    args = list(sys.argv[1:] if argv is None else argv)
    _prepare_streams()
    try:
        code = _run(args)
        sys.stdout.flush()
    except _WrongUse as refused:
        _tell_programs(args, refused.message, ExitCode.USAGE)
        raise
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `streamd events | head`
        _print_no_more()
        return ExitCode.OK
    except Exception as error:  # noqa: BLE001  # the process ends, with an exit code of its own
        code, said = _account_of(error, args[0])
        _tell_programs(args, said, code)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            _print_no_more()
    return code


def _account_of(error: Exception, command: str) -> tuple[int, str]:
    """The exit code, and what a program is told; people are told on standard error."""
    from streamd.config import redact

    if isinstance(error, StreamdError):
        code, said = error.exit_code, redact(str(error))
    elif isinstance(error, OSError) and command not in ROLES and (error.filename or error.errno == errno.ENOSPC):
        # Where no file is named, what is full may be what standard output goes to.
        where = "" if error.filename is None else f"{error.filename}: "
        code, said = ExitCode.UNAVAILABLE, f"{where}{(error.strerror or str(error)).lower()}"
    else:
        sys.excepthook(type(error), error, error.__traceback__)  # a child's writes it to the log
        return ExitCode.INTERNAL, f"internal error: {redact(repr(error))}"
    # Problems of a configuration begin with the file that each is in.
    lines = said if isinstance(error, ConfigError) else f"streamd {command}: {said}"
    print("\n".join(map(one_line, lines.split("\n"))), file=sys.stderr)
    return code, said


def _tell_programs(args: Sequence[str], said: str, code: int) -> None:
    options = args[: args.index("--")] if "--" in args else args
    if "--json" not in options:
        return
    try:
        print(json.dumps({"error": said, "exit": code}), flush=True)
    except OSError:  # nobody reads it, or there is no room
        _print_no_more()


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


def _run(args: Sequence[str]) -> int:
    top = _Parser(
        prog="streamd",
        description="Watches live video and says who is there.",
        epilog=_overview(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"streamd {streamd.__version__}")
    top.add_argument("command", metavar="COMMAND", choices=[*VERBS, *ROLES])
    command, rest = top.parse_args(args[:1] or ["--help"]).command, args[1:]
    module = importlib.import_module(f"streamd.commands.{command}")
    parser = _Parser(prog=f"streamd {command}", description={**VERBS, **ROLES}[command])
    module.add_arguments(parser)
    _describe_verbs(parser)
    # Options may stand among what is given, as in `enroll NAME --force PHOTO`; where there are verbs, or after "--",
    # argparse cannot.
    plain = parser._subparsers is not None or "--" in rest
    return int(module.run(parser.parse_args(rest) if plain else parser.parse_intermixed_args(rest)))


def _describe_verbs(parser: argparse.ArgumentParser) -> None:
    """``streamd person forget --help`` begins with what the list of verbs says of it."""
    for action in parser._subparsers._group_actions if parser._subparsers else ():
        if isinstance(action, argparse._SubParsersAction):
            for verb in action._choices_actions:
                action.choices[verb.dest].description = verb.help
