"""crmdrip map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
from rich.text import Text

from crmdrip.assembly import WallClock, connect_crm
from crmdrip.commands.output import console, print_json
from crmdrip.commands.setup import read_settings_to_look
from crmdrip.core.errors import ConfigurationError
from crmdrip.inspection.likeness import Confidence, Proposal, propose, write_mapping
from crmdrip.ports import ConnectorContext, OffersDescription

_STYLES = {Confidence.PROPOSED: "green", Confidence.QUESTION: "yellow", Confidence.MISSING: "dim"}


@click.command(name="map")
@click.option(
    "--write",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the mapping there, with the reasons as comments.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.pass_obj
def map_(config: Path, *, target: Path | None, as_json: bool) -> int:
    """Propose which of the CRM's own fields stand for what crmdrip would install.

    For a CRM that has fields of its own for some of it. A field that is called so and can hold it is proposed; one that
    only resembles it is a question for you. Reads only; FILE is written where you say so, and never over another one.
    Exit code 1 when something that nothing works without is neither there nor proposed.
    """
    crm = connect_crm(read_settings_to_look(config), WallClock())
    if not isinstance(crm.connector, OffersDescription):
        raise ConfigurationError(
            f"the connector {crm.connector.name!r} cannot tell what its CRM has.",
            where="[crm] connector",
            do_next="Copy its mapping, and put your names in by hand.",
        )
    proposals = _propose(crm.connector, crm.context)
    if target is not None:
        _write(target, write_mapping(crm.connector.name, proposals))
    missing = [
        one for one in proposals if one.place.vital and one.confidence in (Confidence.QUESTION, Confidence.MISSING)
    ]
    if as_json:
        print_json({"ok": not missing, "proposals": [_as_json(one) for one in proposals]})
    else:
        _print(proposals, crm.connector.name, target)
    return 1 if missing else 0


def _propose(connector: OffersDescription, context: ConnectorContext) -> list[Proposal]:
    """Objects first, since whose fields are asked for follows from them."""
    objects = propose(place for place in connector.describe(context) if place.table == "objects")
    chosen = {
        one.place.word: one.candidate.name
        for one in objects
        if one.confidence is Confidence.PROPOSED and one.candidate is not None
    }
    if chosen and context.mapping is not None:
        own = replace(context.mapping, objects={**context.mapping.objects, **chosen})
        context = replace(context, mapping=own)
    fields = propose(place for place in connector.describe(context) if place.table != "objects")
    return [*objects, *fields]


def _write(target: Path, text: str) -> None:
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise ConfigurationError(
            "there is such a file already, and it is left as it is.", where=str(target), do_next="Name another one."
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"cannot be written ({error.strerror}).", where=str(target), do_next="Choose another folder."
        ) from error


def _as_json(one: Proposal) -> dict[str, object]:
    place = one.place
    return {
        "table": place.table,
        "word": place.word,
        "mapped": place.name,
        "vital": place.vital,
        "confidence": one.confidence,
        "name": "" if one.candidate is None else one.candidate.name,
        "why": one.why,
    }


def _print(proposals: Sequence[Proposal], name: str, target: Path | None) -> None:
    out = console()
    shown = [one for one in proposals if one.confidence is not Confidence.THERE]
    wide = max((len(f"{one.place.table}.{one.place.word}") for one in shown), default=0)
    for one in shown:
        word = f"{one.place.table}.{one.place.word}"
        found = one.candidate.name if one.candidate is not None else "-"
        sign = Text(f"  {one.confidence.value:<10}", style=_STYLES[one.confidence])
        out.print(Text.assemble(sign, f"{word:<{wide}}  {found}  {one.why}".rstrip()))
    counts = Counter(one.confidence for one in proposals)
    parts = [f"{counts[each]} {words}" for each, words in _COUNTED if counts[each]]
    out.print(f"{', '.join(parts)}.", markup=False)
    out.print(_next(counts, name, target), markup=False)


_COUNTED = (
    (Confidence.THERE, "there as mapped"),
    (Confidence.PROPOSED, "proposed"),
    (Confidence.QUESTION, "to decide"),
    (Confidence.MISSING, "missing"),
)


def _next(counts: Counter[Confidence], name: str, target: Path | None) -> str:
    """What to type now."""
    if not (counts[Confidence.PROPOSED] or counts[Confidence.QUESTION]):
        if counts[Confidence.MISSING]:
            return f"Nothing here stands for what is missing: type crmdrip install {name}."
        return "Nothing to map: type crmdrip doctor."
    if target is None:
        return "Type crmdrip map --write mapping.toml to have it as a file, and read it through."
    steps = [f"Read {target} through", f'set mapping = "{target}" under [crm]']
    if counts[Confidence.MISSING] or counts[Confidence.QUESTION]:
        steps.append(f"type crmdrip install {name} --dry-run to see what is still made")
    steps.append("type crmdrip doctor")
    return f"{', '.join(steps[:-1])}, and {steps[-1]}."
