"""Whose turn it is: which streams a pull reads beside people, so that an idle pull is a single call.

A call holds five queries, and people take one per object of every pull. The streams share what is left: as long as
nothing happens, each of them is read in every second pull. Knows names and numbers of queries, nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping


def take_turns(queries: Mapping[str, int], *, due: Collection[str], places: int) -> frozenset[str]:
    """The streams to read now: all that are due, then others while there is a place for them.

    queries: how many each stream takes, the most urgent stream first. places: queries that a first call has left. Where
    the due ones need a second call everybody comes: it is paid for, and has room for all.
    """
    left = places - sum(count for name, count in queries.items() if name in due)
    if left < 0:
        return frozenset(queries)
    chosen = set(due) & set(queries)
    for name, count in queries.items():
        if name not in chosen and count <= left:
            chosen.add(name)
            left -= count
    return frozenset(chosen)
