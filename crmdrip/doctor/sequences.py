"""What RevOps wrote: every sequence is valid, its templates and their merge fields too."""

from __future__ import annotations

from collections.abc import Iterator

from crmdrip.core.compose import merge_paths
from crmdrip.core.definition import validate
from crmdrip.core.errors import CrmdripError, UnknownPathsError
from crmdrip.core.model import Sequence, SequenceDraft
from crmdrip.core.render import check_template
from crmdrip.ports import CheckResult, CrmSource
from crmdrip.ports.finding import fail, ok, warn


def check_sequences(source: CrmSource, drafts: tuple[SequenceDraft, ...]) -> Iterator[CheckResult]:
    """Every sequence is valid, its templates too."""
    good: list[Sequence] = []
    for draft in drafts:
        result = validate(draft, check_template=check_template)
        if isinstance(result, Sequence):
            good.append(result)
            continue
        name = draft.fields.get("name") or draft.id
        yield warn(
            "TEMPLATES",
            f"the sequence {name!r} is not valid: {' '.join(result)}",
            "Correct it where it is written. Until then its last good version stays in force, if there was one.",
        )
    yield from check_fields(source, good)
    if good:
        yield ok("TEMPLATES", f"{len(good)} of {len(drafts)} sequences are valid.")
    elif not drafts:
        yield warn(
            "TEMPLATES", "there is no sequence yet.", "Write one, in the CRM or as a file where sequences are files."
        )


def check_fields(source: CrmSource, sequences: list[Sequence]) -> Iterator[CheckResult]:
    """Every merge field of the templates is there: whoever comes to a step with another one waits (B24)."""
    paths = {sequence.name: merge_paths(sequence.steps) for sequence in sequences}
    try:
        source.look([], frozenset().union(*paths.values()), None)
    except UnknownPathsError as error:
        for name, used in paths.items():
            if unknown := sorted(used & error.paths):
                fields = ", ".join(f"{{{{ {path} }}}}" for path in unknown)
                what = f"the sequence {name!r} asks for {fields}, and no such field can be seen: its emails wait."
                yield warn("TEMPLATES", what, error.do_next)
    except CrmdripError as error:
        yield fail("TEMPLATES", f"the merge fields cannot be checked: {error}", error.do_next)
