"""How people and sequences are named on the command line: by id or by name, as far as it is clear who is meant."""

from __future__ import annotations

from collections.abc import Mapping

import click

from crmdrip.core.errors import RejectedError
from crmdrip.ledger.definitions import KnownSequence


def require_text(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """What was typed, for every argument that names somebody. Raises BadParameter for what is not UTF-8.

    Python lets bytes through that are no text, which neither ledger nor CRM can be asked for.
    """
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        raise click.BadParameter(
            "this is not UTF-8. Use a terminal with that encoding (LANG=C.UTF-8), or give the id of the record.",
            ctx,
            param,
        ) from None
    return value


def find_sequence(known: Mapping[str, KnownSequence], text: str) -> KnownSequence:
    """The sequence of that id, name or beginning of a name. Raises RejectedError when there is none, or several."""
    wanted = text.strip().casefold()
    living = [sequence for sequence in known.values() if not sequence.removed]
    for candidates in (
        [s for s in living if s.id == text.strip()],
        [s for s in living if s.name.casefold() == wanted],
        [s for s in living if s.name.casefold().startswith(wanted)],
    ):
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            names = ", ".join(f"{s.id} ({s.name})" for s in candidates)
            raise RejectedError(f"several sequences are called {text!r}.", do_next=f"Give an id: {names}.")
    names = ", ".join(sorted(s.name for s in living)) or "none; the daemon has pulled none yet"
    raise RejectedError(f"no sequence is called {text!r}.", do_next=f"There are: {names}.")
