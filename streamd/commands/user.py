"""``streamd user``: who may use the page and the API."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from streamd.access import MAX_PASSWORD_CHARACTERS, MIN_PASSWORD_CHARACTERS, Role, hash_password, new_token
from streamd.commands.arguments import add_config_argument, add_json_argument
from streamd.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from streamd.configediting import ConfigFile

_ROLES = [role.word for role in Role if role is not Role.CAMERA]
_HELP = {
    "list": "who may log in or ask",
    "add": "let somebody log in; asks for a password, or reads it from standard input",
    "passwd": "give somebody another password",
    "token": "let a program ask: prints a token, once",
    "remove": "take a user or token away",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, told in _HELP.items():
        verb = verbs.add_parser(name, help=told)
        add_config_argument(verb)
        add_json_argument(verb)
        if name != "list":
            verb.add_argument("name", metavar="NAME")
        if name in ("add", "token"):
            verb.add_argument("--role", choices=_ROLES, default="viewer", help="what they may do (default: viewer)")


def run(args: argparse.Namespace) -> int:
    from streamd.configediting import ConfigFile
    from streamd.configfile import find_config

    path = args.config or find_config()
    if path is None:
        raise UsageError("no configuration file: give --config, or make streamd.yaml first")
    body, lines = _VERBS[args.verb](args, ConfigFile(path))
    print(json.dumps(body, ensure_ascii=False, indent=2) if args.json else "\n".join(lines))
    return ExitCode.OK


def _list(args: argparse.Namespace, file: ConfigFile) -> tuple[Any, list[str]]:
    gateway = file.config().gateway
    rows = [{"name": name, "kind": "user", "role": user.role} for name, user in gateway.users.items()]
    rows += [{"name": name, "kind": "token", "role": token.role} for name, token in gateway.tokens.items()]
    width = max((len(row["name"]) for row in rows), default=0) + 2
    lines = [f"{row['name']:<{width}}{row['kind']:<7}{row['role']}" for row in rows]
    nobody = "nobody needs to log in: whoever is on this machine is an admin (streamd user add NAME --role admin)"
    return rows, lines or [nobody]


def _add(args: argparse.Namespace, file: ConfigFile) -> tuple[Any, list[str]]:
    if args.name in file.config().gateway.users:
        raise UsageError(f"there is a user {args.name!r} already ('streamd user passwd' changes the password)")
    _write(file, "users", args.name, {"role": args.role, "password": hash_password(_password(args.name))})
    return {"added": args.name, "role": args.role}, [f"{args.name} may log in as {_a(args.role)}{_when(file)}"]


def _passwd(args: argparse.Namespace, file: ConfigFile) -> tuple[Any, list[str]]:
    user = file.config().gateway.users.get(args.name)
    if user is None:
        raise UsageError(f"there is no user {args.name!r} (streamd user list)")
    _write(file, "users", args.name, {"role": user.role, "password": hash_password(_password(args.name))})
    return {"changed": args.name}, [f"{args.name} has another password{_when(file)}"]


def _token(args: argparse.Namespace, file: ConfigFile) -> tuple[Any, list[str]]:
    if args.name in file.config().gateway.tokens:
        raise UsageError(f"there is a token {args.name!r} already ('streamd user remove' takes it away)")
    token, kept = new_token()
    _write(file, "tokens", args.name, {"role": args.role, "token": kept})
    body = {"name": args.name, "role": args.role, "token": token}
    return body, [token, f"for {args.name}, {_a(args.role)}; it is shown this once{_when(file)}"]


def _remove(args: argparse.Namespace, file: ConfigFile) -> tuple[Any, list[str]]:
    gateway = file.config().gateway
    if args.name not in gateway.users and args.name not in gateway.tokens:
        raise UsageError(f"there is no user or token {args.name!r} (streamd user list)")

    def change(document: MutableMapping[str, Any]) -> None:
        from streamd.configediting import section

        for kind in ("users", "tokens"):
            section(document, "gateway", kind).pop(args.name, None)

    file.edit(change)
    return {"removed": args.name}, [f"{args.name} may not log in any more{_when(file)}"]


def _write(file: ConfigFile, kind: str, name: str, entry: dict[str, str]) -> None:
    def change(document: MutableMapping[str, Any]) -> None:
        from streamd.configediting import section

        section(document, "gateway", kind)[name] = entry

    file.edit(change)


def _password(name: str) -> str:
    """Asked for twice on a terminal, else the first line of standard input."""
    if sys.stdin.isatty():
        password = getpass.getpass(f"password for {name}: ")
        if getpass.getpass("once more: ") != password:
            raise UsageError("the two differ; nothing was changed")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not MIN_PASSWORD_CHARACTERS <= len(password) <= MAX_PASSWORD_CHARACTERS:
        raise UsageError(f"a password has {MIN_PASSWORD_CHARACTERS} to {MAX_PASSWORD_CHARACTERS} characters")
    return password


def _a(role: str) -> str:
    return f"{'an' if role[0] in 'ao' else 'a'} {role}"


def _when(file: ConfigFile) -> str:
    return f" ({file.path}; a running streamd takes it over on SIGHUP)"


_VERBS = {"list": _list, "add": _add, "passwd": _passwd, "token": _token, "remove": _remove}
