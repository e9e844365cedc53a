"""``${NAME}``, ``${NAME:-default}``, ``${cred:name}`` and ``$$`` in the texts of a configuration."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from streamd.configtree import SubstitutionError

MAX_CREDENTIAL_BYTES = 64 * 1024
_EXPRESSION = re.compile(r"\$\$|\$\{([^{}]*)(\}|$|(?=\{))")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(:-(.*))?", re.DOTALL)
_CREDENTIAL = re.compile(r"cred:([A-Za-z0-9_.@-]+)")


def expand(text: str, environ: Mapping[str, str] | None = None) -> str:
    """``text`` with its expressions replaced, once: what they expand to is not looked at again.

    A ``$`` before anything but ``{`` and ``$`` is itself.

    Raises:
        SubstitutionError: a variable is not set, a credential cannot be read, or ``${`` is not followed by
            either.
    """
    environ = os.environ if environ is None else environ
    return _EXPRESSION.sub(lambda found: _replacement(found, environ), text)


def _replacement(found: re.Match[str], environ: Mapping[str, str]) -> str:
    whole, inner = found[0], found[1]
    if whole == "$$":
        return "$"
    if not whole.endswith("}"):
        raise SubstitutionError(whole, "'${' without a '}'; write '$$' for a plain '$'")
    if credential := _CREDENTIAL.fullmatch(inner):
        return _credential(whole, credential[1], environ)
    variable = _VARIABLE.fullmatch(inner)
    if variable is None:
        raise SubstitutionError(whole, f"{whole!r} is neither ${{NAME}} nor ${{NAME:-default}} nor ${{cred:name}}")
    value, default = environ.get(variable[1]), variable[3]
    if default is not None and not value:
        return default
    if value is None:
        raise SubstitutionError(whole, f"the environment variable {variable[1]} is not set")
    return value


def _credential(whole: str, name: str, environ: Mapping[str, str]) -> str:
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise SubstitutionError(whole, f"no credential {name!r}: $CREDENTIALS_DIRECTORY is not set (LoadCredential=)")
    if name in (".", ".."):
        raise SubstitutionError(whole, f"no credential can be named {name!r}")
    try:
        with (Path(folder) / name).open("rb") as file:
            data = file.read(MAX_CREDENTIAL_BYTES + 1)
        if len(data) > MAX_CREDENTIAL_BYTES:
            raise SubstitutionError(whole, f"credential {name!r} is larger than {MAX_CREDENTIAL_BYTES} bytes")
        return data.decode().rstrip("\r\n")
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise SubstitutionError(whole, f"credential {name!r} cannot be read: {reason}") from error
    except UnicodeDecodeError as error:
        raise SubstitutionError(whole, f"credential {name!r} is not UTF-8 text") from error
