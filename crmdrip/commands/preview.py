"""crmdrip preview."""

from __future__ import annotations

import html
from pathlib import Path

import click

from crmdrip.assembly import build_composer
from crmdrip.commands.naming import require_text
from crmdrip.commands.output import aside, console, print_json
from crmdrip.commands.setup import open_crm, read_settings_to_look
from crmdrip.core.errors import RejectedError
from crmdrip.inspection.preview import StepPreview, find_draft, look_at, read_drafts, read_sequence
from crmdrip.inspection.preview import preview as preview_steps
from crmdrip.inspection.subject import find_in_crm, only


@click.command()
@click.argument("sequence", callback=require_text)
@click.argument("person", callback=require_text)
@click.option("--html", "page", type=click.Path(path_type=Path, dir_okay=False), help="Write the emails as a web page.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.pass_obj
def preview(config: Path, sequence: str, person: str, *, page: Path | None, as_json: bool) -> int:
    """Render the emails of SEQUENCE for PERSON. Sends nothing.

    Drafts can be previewed. Unsubscribe links in a preview are nobody's. Exit code 1 if a step cannot be rendered, or
    names a field that nobody can see.
    """
    settings = read_settings_to_look(config)
    source = open_crm(settings)
    org_id = source.identity().org_id
    chosen = read_sequence(find_draft(read_drafts(source), sequence))
    subject = only(find_in_crm(source, person), person)
    composer = build_composer(settings, org_id)
    shown = list(preview_steps(composer, chosen, look_at(source, subject.ref, chosen)))
    if page is not None:
        try:
            page.write_text(as_page(chosen.name, shown), encoding="utf-8")
        except OSError as error:
            raise RejectedError(f"cannot be written ({error.strerror}).", where=str(page)) from error
        aside().print(f"Wrote {page}.", markup=False)
    if as_json:
        print_json({"sequence": chosen.name, "person": subject.ref.id, "steps": shown})
    elif page is None:
        _print(shown)
    return 1 if any(step.problem or step.remark for step in shown) else 0


def _print(shown: list[StepPreview]) -> None:
    out = console()
    for step in shown:
        out.print(f"\n-- step {step.step}, {step.kind} " + "-" * 40, markup=False, style="bold")
        if step.remark:
            out.print(step.remark, markup=False)
        if step.problem:
            out.print(step.problem, markup=False)
            continue
        if step.sender:
            out.print(f"From: {step.sender}\nTo: {step.recipient}", markup=False)
        out.print(f"Subject: {step.subject}\n\n{step.text.rstrip()}", markup=False)


def as_page(name: str, shown: list[StepPreview]) -> str:
    """All emails in one page, each in a frame of its own in which nothing runs."""
    parts = [f"<!doctype html><meta charset='utf-8'><title>{html.escape(name)}</title><h1>{html.escape(name)}</h1>"]
    for step in shown:
        parts.append(f"<h2>Step {html.escape(step.step)}: {html.escape(step.subject or step.problem)}</h2>")
        body = step.html or f"<pre>{html.escape(step.text or step.problem)}</pre>"
        parts.append(f"<iframe sandbox srcdoc='{html.escape(body)}' style='width:100%;height:32rem'></iframe>")
    return "\n".join(parts) + "\n"
