"""How a sequence is named on the command line: by id or by name, as far as it is clear which one is meant."""

from __future__ import annotations

from collections.abc import Mapping

from crmdrip.core.errors import RejectedError
from crmdrip.ledger.definitions import KnownSequence


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
