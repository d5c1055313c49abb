"""Vendors that answer what they do not document: any answer, anywhere, of any shape.

`python tests/proof/mangling.py salesforce 60` plays for an hour (or hubspot). What comes out of a pass is a named error
or nothing; a line is printed for everything else, with the seed that plays it again.
"""

from __future__ import annotations

import copy
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

if __name__ == "__main__":
    TESTS = Path(__file__).parents[1]
    sys.path[:0] = [str(TESTS.parent), str(TESTS), str(TESTS / "proof")]

import orjson
from scene import Scene, make_blank

from crmdrip.core.errors import CrmdripError
from crmdrip.daemon import passes
from crmdrip.daemon.rebuild import rebuild
from crmdrip.sandbox.http import Handler, Request, Response

ODD: tuple[Any, ...] = (
    None, 0, -1, 1.5, 1e308, 2**60, True, False, "", "x", "\u00b2", "9" * 400, "2026-13-45T99:99:99.000Z",
    "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999-14:00", [], {}, [None], {"a": 1}, ["x"], [[]], "a\x00b",
)  # fmt: skip
WHOLE = (
    b"", b"null", b"[]", b"{}", b'"x"', b"<html><body>Maintenance</body></html>", b"\xff\xfe", b'{"a":', b"[[[[",
    b"1e999", b"true", b'{"results":[]}', b"[{}]", b"[null]",
)  # fmt: skip
REFUSALS: tuple[Any, ...] = (
    [], [1], [{"errorCode": 5, "message": [], "fields": 7}], {"errors": 5}, {"errors": [None]}, {"context": []},
    {"errors": [{"code": [], "context": {"requiredGranularScopes": 3}}], "category": ["x"], "message": {}},
    {"errors": [{"message": 5, "field": None}]}, {"error": {}, "error_description": 5},
)  # fmt: skip
WAITS = ("\u00b2", "9" * 400, "-1", "1e9", "999999999999", "Wed, 21 Oct 2015 07:28:00 GMT", "", "0", "nan", "inf")
HEADERS = (
    {"Sforce-Limit-Info": f"api-usage={'9' * 5_000}/1"},
    {"Sforce-Limit-Info": "api-usage=\u00b2/x"},
    {"Date": "Mon, 99 Foo 99999 99:99:99 GMT"},
    {"Date": "Thu, 01 Jan 0001 00:00:00 +2359"},
    {"x-hubspot-ratelimit-daily": "\u00b2", "x-hubspot-ratelimit-daily-remaining": "1"},
    {"x-hubspot-ratelimit-max": "9" * 400},
    {"X-RateLimit-Reset": "\u00b2", "X-RateLimit-Remaining": "0"},
    {"X-Message-Id": "x" * 5_000},
)
STATUSES = (400, 401, 403, 404, 409, 413, 414, 423, 429, 477, 500, 503, 207, 200, 201, 204, 202)
OF_SENDING = (500, 503, 200, 201, 204, 202)
"""To say, by status or in its own words, that an email was refused which was taken is a lie nobody sees through."""


@dataclass
class Play:
    """What came of one play."""

    mangled: int = 0
    """Answers."""
    named: int = 0
    """Errors of the taxonomy that a pass ended with."""
    unnamed: list[str] = field(default_factory=list)
    """What else came out of a pass."""
    twice: int = 0
    """Touches that the provider accepted more than once."""


class Mangler:
    """Spoils the answers of one server, as the dice fall."""

    def __init__(self, random: Random, share: float, play: Play) -> None:
        """share: of the answers."""
        self._random, self._share, self._play = random, share, play
        self.on = False

    def wrap(self, handler: Handler) -> Handler:
        """The handler, whose work is done and whose answer is another."""

        def work(request: Request) -> Response:
            response = handler(request)
            spared = response.cut or request.path.startswith("/_sandbox")
            if self.on and not spared and self._random.random() <= self._share:
                self._play.mangled += 1
                self._spoil(request, response)
            return response

        return work

    def _spoil(self, request: Request, response: Response) -> None:
        random, chance = self._random, self._random.random()
        if chance < 0.12:
            response.body = random.choice(WHOLE)
        elif chance < 0.17:
            response.body = response.body[: random.randrange(len(response.body) + 1)]
        elif chance < 0.27:
            sending = request.path.endswith("/mail/send")
            response.status = random.choice(OF_SENDING if sending else STATUSES)
            response.headers = {**response.headers, "Retry-After": random.choice(WAITS)}
            if random.random() < 0.5 and not sending:
                response.body = orjson.dumps(random.choice(REFUSALS))
        elif chance < 0.35:
            response.headers = {**response.headers, **random.choice(HEADERS)}
        elif response.body:
            try:
                value = orjson.loads(response.body)
            except orjson.JSONDecodeError:
                return
            response.body = orjson.dumps(mutate(value, random))


def mutate(value: Any, random: Random) -> Any:
    """The value with something missing, doubled, or of another type."""
    value = copy.deepcopy(value)
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        places = _places(value)
        if not places:
            return random.choice(ODD)
        holder, key = random.choice(places)
        chance = random.random()
        if chance < 0.35 and isinstance(holder, dict):
            del holder[key]
        elif chance < 0.4 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        elif chance < 0.45 and isinstance(holder, list):
            del holder[key]
        else:
            holder[key] = copy.deepcopy(random.choice(ODD))
    return value


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Everything inside that can be replaced: its holder and its key there; of long lists the first few."""
    keys: list[Any] = []
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = list(range(min(len(value), 6)))
    return [(value, key) for key in keys] + [place for key in keys for place in _places(value[key])]


def play(crm: str, folder: Path, blank: Path, seed: int) -> Play:
    """A week of a daemon that is answered so, from its first call or from its first pass on."""
    random, found = Random(seed), Play()
    mangler = Mangler(random, random.choice((0.05, 0.2, 0.6)), found)
    with Scene(crm, folder, blank) as scene:
        for server in scene.sandbox.control.servers.values():
            server.handler = mangler.wrap(server.handler)
        sequences = [scene.do(scene.org.add_sequence, name, [0, 1, 1], {}) for name in ("Intro", "Other")]
        for number in range(4):
            kind = random.choice(scene.org.kinds)
            scene.do(scene.org.add_person, kind, f"p{number}@firm{number}.example", sequences[number % 2])
        if random.random() < 0.3:
            mangler.on = True
            _try(found, seed, scene.start_unprepared)
            if scene.processes:
                _try(found, seed, lambda: passes.prepare(scene.parts))
        else:
            scene.begin()
        mangler.on = True
        for _ in range(6 if scene.processes else 0):
            for run in (passes.pull, *passes.PASSES.values(), *([rebuild] if random.random() < 0.15 else [])):
                _try(found, seed, lambda run=run: run(scene.parts))
            scene.later(hours=random.choice((1, 13, 25)))
            if random.random() < 0.3:
                scene.do(scene.org.change_sequence, sequences[0], minimum_gap_hours=random.randrange(1, 9))
        mangler.on = False
        found.twice = len(scene.do(scene.sandbox.account.duplicates))
    return found


def _try(found: Play, seed: int, work: Callable[[], object]) -> None:
    try:
        work()
    except CrmdripError:
        found.named += 1
    except Exception as error:  # noqa: BLE001 - finding them is what this is for
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        code = place.tb_frame.f_code if place is not None else None
        line = f"{Path(code.co_filename).name}:{place.tb_lineno}" if code is not None and place is not None else "?"
        found.unnamed.append(f"seed {seed}: {type(error).__name__}: {str(error)[:100]} at {line}")


def main(crm: str, minutes: float, seed: int = 0) -> int:
    """Play until the time is up; 1 where something was found."""
    end, total = time.monotonic() + 60 * minutes, Play()
    plays = 0
    with tempfile.TemporaryDirectory() as parent:
        blank = make_blank(Path(parent))
        while time.monotonic() < end:
            with tempfile.TemporaryDirectory(dir=parent) as folder:
                one = play(crm, Path(folder), blank, seed + plays)
            plays += 1
            total.mangled += one.mangled
            total.named += one.named
            total.twice += one.twice
            total.unnamed += one.unnamed
            twice = [f"seed {seed + plays - 1}: {one.twice} touches accepted twice"] if one.twice else []
            for line in (*one.unnamed, *twice):
                print(line, flush=True)  # noqa: T201 - a command's output
    print(  # noqa: T201
        f"{crm}: {plays} plays, {total.mangled} answers mangled, {total.named} named errors,"
        f" {len(total.unnamed)} others, {total.twice} touches accepted twice"
    )
    return 1 if total.unnamed or total.twice else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0))
