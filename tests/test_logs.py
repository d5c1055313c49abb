"""One format for every line, and no personal data in any."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

from crmdrip.core.model import RunStatus
from crmdrip.logs import configure, mask_text


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging as it was before the test: `configure` is for a whole process."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    levels = {name: logging.getLogger(name).level for name in list(logging.root.manager.loggerDict)}
    logging.getLogger("uvicorn.error").setLevel(logging.NOTSET)  # an earlier test's door raises it
    yield
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.handlers = handlers
    root.setLevel(level)
    for name in list(logging.root.manager.loggerDict):
        logging.getLogger(name).setLevel(levels.get(name, logging.NOTSET))


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What stands on standard error, parsed; nothing may stand on standard output."""
    output = capsys.readouterr()
    assert output.out == ""
    return [json.loads(line) for line in output.err.splitlines()]


def test_an_event_is_one_json_object_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output stays clean for --json."""
    configure(format="json", level="info")
    structlog.get_logger().info("touch_accepted", touch="0f" * 16, attempt=1, status=RunStatus.ACTIVE)
    (line,) = lines(capsys)
    timestamp = line.pop("timestamp")
    assert line == {"level": "info", "event": "touch_accepted", "touch": "0f" * 16, "attempt": 1, "status": "Active"}
    assert timestamp.endswith("Z")
    assert abs(datetime.fromisoformat(timestamp) - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize("library", ["urllib3.connectionpool", "apscheduler.executors.default", "uvicorn.error"])
def test_a_librarys_line_has_the_same_format(capsys: pytest.CaptureFixture[str], library: str) -> None:
    """One parser reads the whole log."""
    configure(format="json", level="info")
    logging.getLogger(library).warning("pool of %s is full", "jane@acme.my")
    (line,) = lines(capsys)
    assert line.keys() == {"timestamp", "level", "event", "logger"}
    assert (line["event"], line["logger"]) == ("pool of [address] is full", library)


@pytest.mark.parametrize(
    ("library", "level"),
    [
        ("python_http_client.client", logging.DEBUG),
        ("urllib3.connectionpool", logging.DEBUG),
        ("urllib3.connectionpool", logging.INFO),
        ("uvicorn.access", logging.INFO),
        ("apscheduler.scheduler", logging.INFO),
        ("httptools", logging.DEBUG),
    ],
)
def test_a_librarys_chatter_is_held_back(capsys: pytest.CaptureFixture[str], library: str, level: int) -> None:
    """SendGrid's client logs its API key at DEBUG; the door's access log holds unsubscribe tokens."""
    configure(format="json", level="debug")
    logging.getLogger(library).log(level, "chatter")
    assert lines(capsys) == []


def test_a_higher_level_holds_libraries_back_too(capsys: pytest.CaptureFixture[str]) -> None:
    """A library's own least level is never below the one asked for."""
    configure(format="json", level="error")
    logging.getLogger("urllib3").warning("pool is full")
    structlog.get_logger().warning("pull_slow")
    assert lines(capsys) == []


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("to jane.doe+x@acme.my.", "to [address]."),
        ("<jane@acme.my>, 'joe@acme.my'", "<[address]>, '[address]'"),
        ('"jane doe"@acme.my', "[address]"),
        ("zoë@bücher.example", "[address]"),
        ("/query?q=Email='jane%40acme.my'", "/query?q=Email='[address]'"),
        ("Authorization: Bearer SG.abc123.def456", "Authorization: [secret]"),
        ("bearer 00Dxx0000001gPL!AR8AQJXg5oj8jXSgxJfA0lBog", "[secret]"),
        ("key SG.ngeVfQFYQlKU0ufo8x5d1A.TwL2iGABf9DHoTf", "key [secret]"),
        ("sid 00Dxx0000001gPL!AR8AQJXg5oj8jXSgxJfA0lBog.", "sid [secret]"),
        ("jwt eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIzTVZ.c2ln", "jwt [secret]"),
        ("POST /token?assertion=abc.def&x=1", "POST /token?assertion=[secret]&x=1"),
        ("{'client_secret': 'two words', 'n': 1}", "{'client_secret': [secret], 'n': 1}"),
        ('"access_token":"x"', '"access_token":[secret]'),
        ("postgresql://user:pw@localhost/db", "postgresql://[secret]@localhost/db"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY----- end", "[secret] end"),
        ("-----BEGIN PRIVATE KEY-----\nMII cut off", "[secret]"),
    ],
)
def test_addresses_and_secrets_are_masked(text: str, masked: str) -> None:
    """Wherever they stand in a text."""
    assert mask_text(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "touch_accepted",
        "003Ws000004AbCdIAK",
        "INVALID_SESSION_ID: Session expired or invalid",
        "Basic authentication is not offered",
        "sqlite:///crmdrip.sqlite3",
        "http://127.0.0.1:8180/people?page=2",
        "2026-11-24T06:00:00Z",
        "10:30 @ noon",
    ],
)
def test_what_is_neither_stays_readable(text: str) -> None:
    """A log that masks everything helps nobody."""
    assert mask_text(text) == text


class Person:
    """A value whose text holds an address."""

    def __repr__(self) -> str:
        return "Person(address='jane@acme.my')"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"jane@acme.my": ["joe@acme.my", {"api_key": "k"}]}, {"[address]": ["[address]", {"api_key": "[secret]"}]}),
        (("a@b.example", 1, None, True), ["[address]", 1, None, True]),
        (Person(), "Person(address='[address]')"),
        (ValueError("no mailbox jane@acme.my"), "no mailbox [address]"),
        (SecretStr("x"), "SecretStr('**********')"),
        (datetime(2026, 11, 24, 6, tzinfo=UTC), "2026-11-24T06:00:00+00:00"),
        (timedelta(minutes=1), 60.0),
    ],
)
def test_values_of_every_kind_are_masked(capsys: pytest.CaptureFixture[str], value: Any, shown: Any) -> None:
    """Nested ones, keys of tables, objects and exceptions alike."""
    configure(format="json", level="info")
    structlog.get_logger().info("x_happened", value=value)
    assert lines(capsys)[0]["value"] == shown


@pytest.mark.parametrize(
    ("name", "shown"), [("password", "[secret]"), ("ApiKey", "[secret]"), ("html", "[body]"), ("subject", "[body]")]
)
def test_a_value_is_masked_by_its_name(capsys: pytest.CaptureFixture[str], name: str, shown: str) -> None:
    """Whatever a secret or a body looks like."""
    configure(format="json", level="info")
    structlog.get_logger().info("x_happened", **{name: "plain"})
    assert lines(capsys)[0][name] == shown


@pytest.mark.parametrize("style", ["console", "json"])
def test_a_traceback_shows_neither_addresses_nor_local_variables(
    capsys: pytest.CaptureFixture[str], style: Any
) -> None:
    """The formatter of structlog would print the values of locals, secrets among them."""
    configure(format=style, level="info")
    password_of_jane = "hunter2-" + "x"
    try:
        raise ValueError("no mailbox jane@acme.my")  # noqa: TRY301 - the traceback is the subject
    except ValueError:
        structlog.get_logger().exception("pull_failed")
        logging.getLogger("apscheduler").exception("job failed")
    text = capsys.readouterr().err
    assert text.count("ValueError: no mailbox [address]") == 2
    assert password_of_jane not in text


def test_a_line_that_cannot_be_written_never_fails_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """B30: a full disk behind the log must not put an accepted email in doubt."""

    class Full:
        def write(self, _: str) -> int:
            raise OSError(28, "No space left on device")

        def flush(self) -> None:
            raise OSError(28, "No space left on device")

        def isatty(self) -> bool:
            return False

    monkeypatch.setattr("sys.stderr", Full())
    configure(format="json", level="info")
    structlog.get_logger().info("touch_accepted")
    logging.getLogger("urllib3").warning("pool is full")


def test_the_console_format_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """No colours where nobody looks."""
    configure(format="console", level="info")
    structlog.get_logger().info("daemon_started", loops=4)
    assert "[info     ] daemon_started               loops=4" in capsys.readouterr().err
