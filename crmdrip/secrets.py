"""Secrets in the configuration: given by reference, read here, and never shown.

A reference is `{ env = "NAME" }` or `{ file = "path" }`. Plain text is taken for the sandbox's own constants only,
all of which begin with "sandbox" (after "SG.", where SendGrid's form asks for it): they open nothing but stand-ins on
loopback.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

SANDBOX_PREFIXES = ("sandbox", "SG.sandbox")
MASK = "[secret]"
MAX_FILE_BYTES = 64 * 1024
"""A key of 16,384 bits in PEM form is 13 KB; anything larger is a wrong path."""


class SecretUnavailableError(Exception):
    """A reference leads nowhere. what: what is wrong; do_next: what to type."""

    def __init__(self, what: str, do_next: str) -> None:
        super().__init__(what)
        self.what = what
        self.do_next = do_next


def is_reference(value: Any) -> bool:
    """Whether a value of the configuration is written as a reference."""
    return isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in ("env", "file")


def is_sandbox_constant(value: str) -> bool:
    """Whether the text may stand in the file itself: it is known to everybody and opens nothing real."""
    return value.startswith(SANDBOX_PREFIXES)


def holds_password(text: str) -> bool:
    """Whether the text is an address with a password in it."""
    return _WITH_PASSWORD.match(text) is not None


_WITH_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@]*:[^/?#]+@|[^?#]*\?(?:.*&)?password=", re.IGNORECASE)


_known: set[str] = set()
"""Every value this process has read by reference."""

_SHORTEST = 8
"""Characters; a shorter one is no secret, and masking it would hide what is none ("mail" in every sentence)."""


def hide_known(text: str) -> str:
    """The text with every secret this process has read masked: a vendor's answer may repeat what it was asked with."""
    return hide(text, _known)


def read_reference(reference: Mapping[str, Any], *, env: Mapping[str, str], folder: Path) -> str:
    """The value behind a reference; file paths are relative to the given folder, a last line end is dropped.

    Raises SecretUnavailableError when there is none, without its value.
    """
    ((source, name),) = reference.items()
    if not isinstance(name, str) or not name:
        raise SecretUnavailableError(f"{source} must name what to read", f'Type {{ {source} = "..." }}.')
    value = _read_env(name, env) if source == "env" else _read_file(folder / Path(name).expanduser())
    if not value:
        do_next = f"Set it: export {name}=..." if source == "env" else "Put the secret into the file."
        raise SecretUnavailableError(f"{_words(source)} {name} is empty", do_next)
    if len(value) >= _SHORTEST:
        _known.add(value)
    return value


def hide(text: str, values: AbstractSet[str]) -> str:
    """The text with every one of the values masked, longest first."""
    for value in sorted(values, key=len, reverse=True):
        if value:
            text = text.replace(value, MASK)
    return text


def _words(source: str) -> str:
    return "the environment variable" if source == "env" else "the file"


def _read_env(name: str, env: Mapping[str, str]) -> str:
    try:
        return env[name]
    except KeyError:
        raise SecretUnavailableError(
            f"the environment variable {name} is not set", f"Set it: export {name}=..."
        ) from None


def _read_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
        if len(raw) > MAX_FILE_BYTES:
            raise SecretUnavailableError(
                f"the file {path} holds more than {MAX_FILE_BYTES // 1024} KB", "Name the file that holds the secret."
            )
        return raw.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise SecretUnavailableError(
            f"the file {path} cannot be read ({error.strerror})", "Create it, readable by the daemon's user alone."
        ) from None
    except UnicodeDecodeError:
        raise SecretUnavailableError(f"the file {path} is not UTF-8 text", "Store the secret as text.") from None
