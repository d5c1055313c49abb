"""What came in at the door, once everything has come to its end: all of it was heard, and each of it once (P3, B23).

Judged from what the stand-ins have: the requests that the door answered with 2xx, and what stands in the CRM.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

import orjson
from orgs import Shown
from roads import name_of
from scene import Scene

from crmdrip.sandbox.world.answers import Answer, Way
from crmdrip.sandbox.world.letters import HUMAN, Who


def misheard(scene: Scene, people: Iterable[str]) -> list[str]:
    """What was not heard, or more than once, or taken for what it was not."""
    shown = {record_id: one for record_id in people if not (one := scene.show(record_id)).gone}
    return [*scene.do(_answers, scene, shown), *_opt_outs(scene), *_replies(scene, shown), *scene.do(_opens, scene)]


def _answers(scene: Scene, shown: Mapping[str, Shown]) -> list[str]:
    """Every answer of a person stands on their timeline, once."""
    entries = scene.org.timeline()
    twice = [touch for touch, count in Counter(one.touch_id for one in entries).items() if count > 1]
    found = [f"P3: {touch} stands on timelines twice" for touch in twice]
    counts = Counter(one.message_id for one in entries)
    posts = [one.body for one in scene.roads.taken if name_of(one) == "inbound"]
    addresses = {one.email for one in shown.values()}
    for answer in scene.sandbox.world.actions.answers.all:
        if answer.way is not Way.INBOUND_PARSE or not any(answer.message_id.encode() in body for body in posts):
            continue
        if counts[answer.message_id] > 1:
            found.append(f"P3: an answer of {answer.address} stands on {counts[answer.message_id]} timelines")
        elif not counts[answer.message_id] and _is_shown(answer, scene, addresses):
            found.append(f"P3: an answer of {answer.address} stands on no timeline")
    return found


def _is_shown(answer: Answer, scene: Scene, addresses: set[str]) -> bool:
    """Whether it must stand on a timeline: somebody wrote it whose record is still there, and no ledger was lost."""
    written = answer.truth in HUMAN and answer.who is Who.SELF and "mailto" not in answer.shape
    return written and answer.address.lower() in addresses and not scene.forgot_calls


def _opt_outs(scene: Scene) -> list[str]:
    """Whoever unsubscribed at the door is opted out on every record that had their address."""
    return [
        f"P3: {address} unsubscribed, and record {one.id} does not say so"
        for address, records in scene.watch.by_door.items()
        for one in map(scene.show, records)
        if not one.gone and one.email == address and not one.opted_out
    ]


def _replies(scene: Scene, shown: Mapping[str, Shown]) -> list[str]:
    """Nobody's run ended for an answer that no person wrote. A record may have been merged into another since."""
    wrote = scene.watch.wrote
    known = {one.id for record_id, one in shown.items() if record_id in wrote or one.email in wrote}
    return [
        f"P3: {one.email} ({one.id}) is said to have replied, and did not"
        for one in {one.id: one for one in shown.values()}.values()
        if one.reason.startswith("The person replied") and one.id not in known
    ]


def _opens(scene: Scene) -> list[str]:
    """Every opening counts once, however often it was posted; a machine's does not."""
    opened: dict[str, set[int]] = defaultdict(set)
    for one in scene.roads.taken:
        if name_of(one) == "events":
            for event in orjson.loads(one.body):
                if event["event"] == "open" and not event.get("sg_machine_open"):
                    opened[event.get("crmdrip_touch", "")].add(event["timestamp"])
    return [
        f"P3: touch {one.touch_id} was opened {len(opened[one.touch_id])} times, and {one.opens} are shown"
        for one in scene.org.timeline()
        if one.opens > len(opened[one.touch_id]) or (one.opens < len(opened[one.touch_id]) and not scene.forgot_calls)
    ]
