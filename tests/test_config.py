"""config.toml becomes typed settings, or every problem at once."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from connectors.imap import connector as imap_connector
from crmdrip import registry
from crmdrip.config import ConfigProblems, Problem, Settings, load
from crmdrip.core.errors import ConfigurationError
from crmdrip.ports import Role
from crmdrip.sandbox import control
from crmdrip.sandbox.__main__ import explain
from crmdrip.sandbox.wires import REPLY_DOMAIN, Wires

EXAMPLE = Path(__file__).parents[1] / "config.example.toml"


class Region(StrEnum):
    """A closed set in a connector's settings."""

    HERE = "here"
    THERE = "there"


class Login(BaseModel):
    """A table inside a connector's settings."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")
    user: str
    password: SecretStr


class FakeCrm(BaseModel):
    """The settings of a CRM that is not there."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")
    org: str = Field(examples=["acme"])
    login: Login | None = None
    region: Region = Region.HERE
    calls: int | None = Field(default=None, gt=0)
    certificate: Path | None = None

    @field_validator("org")
    @classmethod
    def _no_blank(cls, value: str) -> str:
        if " " in value:
            raise ValueError(f"holds a blank: {value}")
        return value

    @model_validator(mode="after")
    def _here_needs_no_calls(self) -> FakeCrm:
        if self.region is Region.THERE and self.calls is None:
            raise ValueError("calls must be set with region there")
        return self


class FakeMail(BaseModel):
    """The settings of a mail provider that is not there."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")
    api_key: SecretStr


GOOD = """
[crm]
connector = "salesforce"
[crm.salesforce]
org = "acme"
[mail]
connector = "sendgrid"
[mail.sendgrid]
api_key = { env = "MAIL_KEY" }
[sender]
company = "Acme"
postal_address = "1 Street, Town"
[unsubscribe]
base_url = "https://mail.acme.example"
keys = [{ env = "LINK_KEY" }]
"""
KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEHY83zru5U7WN4My+hpRZXVrtRbzq"
    "eOvBsSY5ocWvYK9OE5dpilKLww0CTo4+w/ufYTLWEOGgKsW2fA/SOyKMXg=="
)
"""A verification key as SendGrid shows it."""
ENV = {"MAIL_KEY": "SG.real-secret-one", "LINK_KEY": "real-secret-two-of-32-characters"}


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two connectors that need no vendor, under names that have a built-in mapping where one is needed."""
    connectors = {
        "salesforce": SimpleNamespace(name="salesforce", role=Role.CRM, settings_model=FakeCrm),
        "sendgrid": SimpleNamespace(name="sendgrid", role=Role.MAILER, settings_model=FakeMail),
    }

    def points(*, group: str, name: str | None = None) -> list[Any]:
        assert group == "crmdrip.connectors"
        return [
            SimpleNamespace(name=key, value=f"fake:{key}", load=lambda made=made: made)
            for key, made in connectors.items()
            if name in (None, key)
        ]

    monkeypatch.setattr(registry, "entry_points", points)


def read(folder: Path, text: str, env: Mapping[str, str] = ENV) -> Settings:
    """Load a text as a file of the given folder."""
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, env)


def problems(folder: Path, text: str, env: Mapping[str, str] = ENV) -> dict[str, Problem]:
    """The problems of a text, by key path."""
    with pytest.raises(ConfigProblems) as caught:
        read(folder, text, env)
    return {problem.path: problem for problem in caught.value.problems}


# --- what is read ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fakes")
class TestReading:
    """A valid file."""

    def test_sections_left_out_have_their_defaults(self, tmp_path: Path) -> None:
        """Only what has no sensible default must be typed."""
        settings = read(tmp_path, GOOD)
        assert settings.limits.sender_per_day == 200
        assert settings.safety.stop_share == 0.3
        assert settings.web.address == ("127.0.0.1", 8025)
        assert settings.log.format == "console"

    def test_the_connectors_own_models_are_validated_instances(self, tmp_path: Path) -> None:
        """Whoever builds a connector gets its own type."""
        settings = read(tmp_path, GOOD)
        assert settings.crm.settings == FakeCrm(org="acme")
        assert isinstance(settings.mail.settings, FakeMail)

    def test_an_enum_and_a_nested_table_are_typed_as_a_file_writes_them(self, tmp_path: Path) -> None:
        """Strict reading still takes text for an enum and a table for a model."""
        text = GOOD.replace(
            'org = "acme"', 'org = "acme"\nregion = "there"\ncalls = 1\nlogin = { user = "u", password = "sandbox-pw" }'
        )
        crm = read(tmp_path, text).crm.settings
        assert crm.region is Region.THERE
        assert crm.login.password.get_secret_value() == "sandbox-pw"

    def test_a_secret_comes_from_the_environment(self, tmp_path: Path) -> None:
        """{ env = "NAME" } is the variable's value."""
        assert read(tmp_path, GOOD).mail.settings.api_key.get_secret_value() == ENV["MAIL_KEY"]

    def test_a_secret_comes_from_a_file_beside_the_configuration(self, tmp_path: Path) -> None:
        """{ file = "path" } is relative to the configuration, and the editor's last line end is dropped."""
        (tmp_path / "key").write_text("from-a-file\n", encoding="utf-8")
        settings = read(tmp_path, GOOD.replace('{ env = "MAIL_KEY" }', '{ file = "key" }'))
        assert settings.mail.settings.api_key.get_secret_value() == "from-a-file"

    def test_a_reference_may_stand_for_any_text(self, tmp_path: Path) -> None:
        """What differs between deployments may come from the environment even where it is no secret."""
        settings = read(tmp_path, GOOD.replace('"Acme"', '{ env = "COMPANY" }'), {**ENV, "COMPANY": "Acme Ltd"})
        assert settings.sender.company == "Acme Ltd"

    def test_paths_are_relative_to_the_configuration(self, tmp_path: Path) -> None:
        """The daemon finds its ledger and its files from whatever folder it is started in."""
        settings = read(tmp_path, GOOD.replace('org = "acme"', 'org = "acme"\ncertificate = "ca.pem"'))
        assert settings.ledger.url == f"sqlite:///{tmp_path / 'crmdrip.sqlite3'}"
        assert settings.crm.settings.certificate == tmp_path / "ca.pem"

    def test_an_absolute_ledger_path_is_kept(self, tmp_path: Path) -> None:
        """Four slashes are an absolute path, as in every SQLAlchemy URL."""
        url = f"sqlite:///{tmp_path / 'elsewhere' / 'ledger.sqlite3'}"
        assert read(tmp_path, f'{GOOD}\n[ledger]\nurl = "{url}"').ledger.url == url

    def test_tables_of_other_connectors_wait_unread(self, tmp_path: Path) -> None:
        """A second provider's table may stay in the file, without its secrets being there."""
        text = GOOD + '\n[crm.sendgrid]\napi_key = { env = "NOT_SET" }'
        assert read(tmp_path, text).crm.connector == "salesforce"

    def test_settings_are_frozen_and_print_no_secret(self, tmp_path: Path) -> None:
        """A settings object in a traceback or a log gives nothing away."""
        settings = read(tmp_path, GOOD)
        assert not any(secret in repr(settings) for secret in ENV.values())
        with pytest.raises(ValueError, match="frozen"):
            settings.limits.sender_per_day = 5  # type: ignore[misc]  # the point of the test

    def test_a_mapping_file_needs_only_what_differs(self, tmp_path: Path) -> None:
        """The org's own names are laid over the built-in mapping, from a path beside the configuration."""
        (tmp_path / "ours.toml").write_text('[objects]\ncontact = "Kontakt__c"\n', encoding="utf-8")
        text = GOOD.replace('connector = "salesforce"', 'connector = "salesforce"\nmapping = "ours.toml"')
        settings = read(tmp_path, text)
        mapping = registry.mapping_for(settings.crm.connector, settings.crm.mapping)
        assert mapping.object("contact") == "Kontakt__c"
        assert mapping.object("lead") == "Lead"


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fakes")
class TestRefusing:
    """A file with problems."""

    def test_every_problem_is_reported_at_once(self, tmp_path: Path) -> None:
        """One run names all of them: own sections, connectors' sections, unknown keys, missing secrets."""
        text = """
[crm]
connector = "salesforce"
[crm.salesforce]
org = "a b"
calls = "5"
[mail]
connector = "sendgrid"
[mail.sendgrid]
api_key = { env = "MAIL_KEY" }
[sender]
company = ""
[unsubscribe]
base_url = "http://mail.acme.example"
keys = []
[limits]
sender_per_dy = 3
[daemon]
pull_seconds = "60"
batch = 0
[log]
level = "loud"
[extra]
"""
        found = problems(tmp_path, text, {})
        assert {path: problem.line for path, problem in found.items()} == {
            "crm.salesforce.org": 5,
            "crm.salesforce.calls": 6,
            "mail.sendgrid.api_key": 10,
            "sender.company": 12,
            "sender.postal_address": 11,
            "unsubscribe.base_url": 14,
            "unsubscribe.keys": 15,
            "limits.sender_per_dy": 17,
            "daemon.pull_seconds": 19,
            "daemon.batch": 20,
            "log.level": 22,
            "extra": 23,
        }

    @pytest.mark.parametrize(
        ("change", "path", "sentence"),
        [
            (
                ("[sender]", "[limits]\nsender_per_dy = 3\n[sender]"),
                "limits.sender_per_dy",
                "limits.sender_per_dy: is not a setting. Did you mean sender_per_day?",
            ),
            (
                ("[sender]", "[safety]\nsender_per_day = 3\n[sender]"),
                "safety.sender_per_day",
                "safety.sender_per_day: is not a setting. It belongs in [limits].",
            ),
            (
                ('org = "acme"', 'orgg = "acme"\norg = "acme"'),
                "crm.salesforce.orgg",
                "crm.salesforce.orgg: is not a setting. Did you mean org?",
            ),
            (('org = "acme"', ""), "crm.salesforce.org", 'is missing. Add org = "acme" under [crm.salesforce].'),
            (('company = "Acme"', ""), "sender.company", 'Add company = "Example Ltd" under [sender].'),
            (
                ("keys = [", "key = ["),
                "unsubscribe.keys",
                'Add keys = [{ env = "UNSUBSCRIBE_KEY" }] under [unsubscribe].',
            ),
            (
                ("[sender]", "[daemon]\npull_seconds = '60'\n[sender]"),
                "daemon.pull_seconds",
                "daemon.pull_seconds: must be a number, without quotes. Type pull_seconds = 60.",
            ),
            (
                ("[sender]", "[daemon]\npull_seconds = 'often'\n[sender]"),
                "daemon.pull_seconds",
                "must be a number, without quotes. Type pull_seconds = 60, the default, or leave the line out.",
            ),
            (('"Acme"', "2024"), "sender.company", 'must be text in quotes. Type company = "2024".'),
            (
                ("[sender]", "[cluster]\nenabled = 'yes'\n[sender]"),
                "cluster.enabled",
                "must be true or false, without quotes. Type enabled = true.",
            ),
            (
                ("[sender]", "[cluster]\nenabled = { env = 'LINK_KEY' }\n[sender]"),
                "cluster.enabled",
                "must be true or false, without quotes. Type enabled = false, the default",
            ),
            (
                ('org = "acme"', 'org = "acme"\nlogin = "me"'),
                "crm.salesforce.login",
                "must be a table. Correct this section; config.example.toml shows it.",
            ),
            (
                ("[sender]", "[limits]\nsender_per_day = 1.5\n[sender]"),
                "limits.sender_per_day",
                "must be a whole number, without quotes. Type sender_per_day = 200",
            ),
            (
                ("[sender]", "[safety]\nstop_share = 1.5\n[sender]"),
                "safety.stop_share",
                "must be at most 1.0. Type stop_share = 0.3",
            ),
            (("[sender]", "[safety]\nstop_share = nan\n[sender]"), "safety.stop_share", "must be a finite number"),
            (("[sender]", "[log]\nformat = 'xml'\n[sender]"), "log.format", "must be one of 'console' or 'json'"),
            (('org = "acme"', 'org = "acme"\nregion = "x"'), "crm.salesforce.region", "one of 'here' or 'there'"),
            (('"salesforce"', '"salesfroce"'), "crm.connector", "Did you mean salesforce? Installed: salesforce, send"),
            (('"salesforce"', '"sendgrid"'), "crm.connector", "is a connector for [mail], not for [crm]"),
            (("[crm.salesforce]", "[crm.hubspot]"), "crm.hubspot", "is not a setting"),
            (('"1 Street, Town"', '" "'), "sender.postal_address", "is blank"),
            (('"Acme"', '"Acme\\nBcc: x"'), "sender.company", "holds a line break"),
            (("[sender]", "[sender]\nreply_to = 'nobody'"), "sender.reply_to", "is not an email address"),
            (("[sender]", "[sender]\nlanguage = 'English'"), "sender.language", "Choose one of en, de"),
            (('"1 Street, Town"', '"{{ address }}"'), "sender.postal_address", "holds a brace"),
            (("[unsubscribe]", "[unsubscribe]\nmailto = 'a@b@c'"), "unsubscribe.mailto", "is not an email address"),
            (("https://", "http://"), "unsubscribe.base_url", "must be https"),
            (("https://mail.acme.example", "mail"), "unsubscribe.base_url", "is not the address of a web site"),
            (("[sender]", "[ledger]\nurl = 'sqlite://'\n[sender]"), "ledger.url", "must be an SQLite file"),
            (("[sender]", "[web]\nlisten = '8025'\n[sender]"), "web.listen", "a host and a port"),
            (('org = "acme"', 'org = "acme"\nregion = "there"'), "crm.salesforce", "calls must be set"),
            (("[sender]", "[[log]]\n[sender]"), "log", "must be a table. Type [log] on a line of its own"),
            (('connector = "salesforce"', 'mapping = "none.toml"'), "crm.mapping", "cannot be read (No such file"),
        ],
    )
    def test_a_problem_says_what_to_type(
        self, tmp_path: Path, change: tuple[str, str], path: str, sentence: str
    ) -> None:
        """What is wrong, in plain words, and the next thing to type."""
        assert sentence in str(problems(tmp_path, GOOD.replace(*change, 1))[path])

    def test_a_file_that_is_not_there_names_the_example(self, tmp_path: Path) -> None:
        """The first thing a new engineer does wrong."""
        with pytest.raises(ConfigProblems, match=r"config\.example\.toml"):
            load(tmp_path / "none.toml", {})

    @pytest.mark.parametrize(
        ("text", "line", "sentence"),
        [
            ("connector = ", 2, 'this is no value. Put text in quotes: key = "text".'),
            ("company = Acme", 2, 'this is no value. Put text in quotes: key = "text".'),
            ("a = 1\na = 2", 3, "this was given before. A key stands once: remove one of the two lines."),
            ('x = "unclosed\ny = 1', 2, 'a text has no quote at its end. Close it with " on the same line.'),
            ('x = "unclosed', 2, 'a text has no quote at its end. Close it with ".'),
            ("x = “Acme”", 2, '“ is no quote here. Type straight quotes: "text".'),
            ('x = "C:\\drip"', 2, "a backslash stands in a text. Double it, or put the text in single quotes"),
            ("x = [1, 2\n", 3, "a list has no ] at its end. Add it."),
            ("[mail\n", 2, "the name of a table has no ] at its end. Type it as [crm.hubspot]."),
            ("[log]\n[log]", 3, "this table stands here a second time. Put its keys under the first one."),
            ("portal_id 12", 2, 'a key has no = behind it. Type it as key = "text".'),
            ('x = "a" "b"', 2, "more than one value stands here. Put text in quotes, and # before a remark."),
            ("x = 'unclosed\n", 3, "a text has no quote at its end. Close it with '."),
            ("x = 0x", 2, "more than one value stands here."),
            ("x = {a = 1, a = 2}", 2, "a key stands twice between the braces. Remove one of the two."),
        ],
    )
    def test_a_syntax_error_names_its_line(self, tmp_path: Path, text: str, line: int, sentence: str) -> None:
        """Where TOML itself is broken, nothing else can be checked; most of its readers never heard of TOML."""
        (problem,) = problems(tmp_path, f"[crm]\n{text}").values()
        assert problem.line == line
        assert str(problem).startswith(sentence)

    def test_the_mark_that_notepad_puts_before_a_text_is_no_mistake(self, tmp_path: Path) -> None:
        """U+FEFF at the very beginning, which no editor shows."""
        assert read(tmp_path, f"\ufeff{GOOD}").sender.company == "Acme"

    def test_the_text_names_file_line_and_key(self, tmp_path: Path) -> None:
        """An editor jumps to file:line."""
        with pytest.raises(ConfigurationError) as caught:
            read(tmp_path, GOOD.replace("https://", "http://"))
        path = tmp_path / "config.toml"
        assert str(caught.value) == (
            f"{path}: 1 problem.\n"
            f"  {path}:14: unsubscribe.base_url: must be https: links in emails cross the open net. "
            "Type it with https://."
        )


@pytest.mark.usefixtures("fakes")
class TestSecrets:
    """Secrets stay secret."""

    def test_a_secret_in_plain_text_is_refused_with_both_ways_to_give_it(self, tmp_path: Path) -> None:
        """A file that is easily committed or mailed holds no secret."""
        found = problems(tmp_path, GOOD.replace('{ env = "MAIL_KEY" }', '"SG.typed-in"'))
        assert str(found["mail.sendgrid.api_key"]) == (
            'mail.sendgrid.api_key: is a secret in plain text. Type api_key = { env = "SENDGRID_API_KEY" } '
            'or api_key = { file = "path/to/api_key" }.'
        )

    @pytest.mark.parametrize(
        ("reference", "env", "sentence"),
        [
            ('{ env = "NONE" }', {}, "the environment variable NONE is not set. Set it: export NONE=..."),
            ('{ env = "NONE" }', {"NONE": ""}, "the environment variable NONE is empty"),
            ("{ env = 5 }", {}, 'env must name what to read. Type { env = "..." }'),
            ('{ file = "none" }', {}, "none cannot be read (No such file or directory)"),
            ('{ file = "." }', {}, "cannot be read (Is a directory)"),
            ('{ file = "empty" }', {}, "the file empty is empty"),
            ('{ file = "big" }', {}, "holds more than 64 KB"),
            ('{ file = "binary" }', {}, "is not UTF-8 text"),
        ],
    )
    def test_a_secret_that_cannot_be_read_is_one_problem(
        self, tmp_path: Path, reference: str, env: dict[str, str], sentence: str
    ) -> None:
        """One sentence on what is missing, and none on what follows from it."""
        (tmp_path / "empty").write_bytes(b"\n")
        (tmp_path / "big").write_bytes(b"x" * 65_537)
        (tmp_path / "binary").write_bytes(b"\xff\xfe")
        found = problems(tmp_path, GOOD.replace('{ env = "MAIL_KEY" }', reference), {**ENV, **env})
        assert list(found) == ["mail.sendgrid.api_key"]
        assert sentence in str(found["mail.sendgrid.api_key"])

    def test_no_value_of_a_secret_is_ever_repeated(self, tmp_path: Path) -> None:
        """Neither plain text, nor what was read by reference, nor what a connector's own message repeats."""
        text = (
            GOOD.replace('org = "acme"', 'org = { env = "ORG" }\nlogin = { user = "u", password = "typed-in-pw" }')
            .replace('{ env = "LINK_KEY" }', '"another-typed-in-key", 5')
            .replace("https://", "http://")
        )
        with pytest.raises(ConfigProblems) as caught:
            read(tmp_path, text, {"ORG": "hidden value", "MAIL_KEY": "k"})
        shown = str(caught.value)
        assert len(caught.value.problems) == 5
        assert not any(secret in shown for secret in ("typed-in", "hidden value"))
        assert "holds a blank: [secret]" in shown

    def test_a_short_signing_key_is_refused(self, tmp_path: Path) -> None:
        """P7: a key that can be guessed lets anybody unsubscribe anybody."""
        found = problems(tmp_path, GOOD, {**ENV, "LINK_KEY": "short"})
        assert "less than 16 characters" in found["unsubscribe.keys"].what

    def test_the_sandboxs_key_signs_no_real_link(self, tmp_path: Path) -> None:
        """B28: a key from the example file is known to everybody, so it is refused beside a real address."""
        found = problems(tmp_path, GOOD.replace('{ env = "LINK_KEY" }', '"sandbox-key-of-the-example"'))
        assert "everybody knows" in found["unsubscribe"].what

    def test_the_sandboxs_key_signs_links_on_loopback(self, tmp_path: Path) -> None:
        """The example works unchanged."""
        text = GOOD.replace('{ env = "LINK_KEY" }', '"sandbox-key-of-the-example"')
        text = text.replace("https://mail.acme.example", "http://127.0.0.1:8180/")
        assert read(tmp_path, text).unsubscribe.base_url == "http://127.0.0.1:8180"


# --- mailboxes ------------------------------------------------------------------------------------------------------

MAILBOX = """
[[mailbox]]
name = "replies"
host = "imap.acme.example"
username = "replies@acme.example"
password = { env = "REPLIES" }
"""


class TestMailboxes:
    """[[mailbox]] tables, each with its connector's own keys (the real IMAP connector's)."""

    @pytest.fixture(autouse=True)
    def imap(self, fakes: None, monkeypatch: pytest.MonkeyPatch) -> None:
        """The real connector beside the fakes."""
        found = registry.entry_points
        imap = SimpleNamespace(name="imap", value="connectors.imap:connector", load=lambda: imap_connector)
        monkeypatch.setattr(
            registry,
            "entry_points",
            lambda *, group, name=None: [imap] if name == "imap" else found(group=group, name=name),
        )

    def test_there_may_be_none(self, tmp_path: Path) -> None:
        """Most begin without."""
        assert read(tmp_path, GOOD).mailbox == ()

    def test_there_may_be_several(self, tmp_path: Path) -> None:
        """In the order of the file, each with its own settings."""
        text = GOOD + MAILBOX + MAILBOX.replace('"replies"', '"sales"') + 'folders = ["INBOX", "Answers"]\n'
        replies, sales = read(tmp_path, text, {**ENV, "REPLIES": "pw"}).mailbox
        assert (replies.name, replies.connector, replies.settings.folders) == ("replies", "imap", ("INBOX",))
        assert (sales.name, sales.settings.folders) == ("sales", ("INBOX", "Answers"))
        assert replies.settings.password.get_secret_value() == "pw"

    @pytest.mark.parametrize(
        ("change", "path", "sentence"),
        [
            (('name = "replies"\n', ""), "mailbox[0].name", 'is missing. Add name = "replies" under [[mailbox]]'),
            (('"replies"', '"Re plies"'), "mailbox[0].name", "must be up to 32 small letters, digits and -. Type"),
            (("username", "user"), "mailbox[0].user", "is not a setting. Did you mean username?"),
            (('{ env = "REPLIES" }', '"typed"'), "mailbox[0].password", "is a secret in plain text"),
            (("host =", 'connector = "sendgrid"\nhost ='), "mailbox[0].connector", "not for [[mailbox]]"),
            (("host =", 'tls = "none"\nhost ='), "mailbox[0]", "would show the password"),
        ],
    )
    def test_each_problem_has_its_place(
        self, tmp_path: Path, change: tuple[str, str], path: str, sentence: str
    ) -> None:
        """The number of the table, the key, and what to type."""
        found = problems(tmp_path, GOOD + MAILBOX.replace(*change), {**ENV, "REPLIES": "pw"})
        assert sentence in str(found[path])

    def test_two_may_not_share_a_name(self, tmp_path: Path) -> None:
        """What was read of one would count as read of the other."""
        found = problems(tmp_path, GOOD + MAILBOX + MAILBOX, {**ENV, "REPLIES": "pw"})
        assert list(found) == ["mailbox[1].name"]

    def test_a_single_table_is_refused(self, tmp_path: Path) -> None:
        """One bracket short."""
        text = GOOD + MAILBOX.replace("[[mailbox]]", "[mailbox]")
        found = problems(tmp_path, text, {**ENV, "REPLIES": "pw"})
        assert "Type [[mailbox]]" in str(found["mailbox"])


# --- the example ----------------------------------------------------------------------------------------------------


def _models() -> Iterator[tuple[str, type[BaseModel]]]:
    """Every model that config.toml is read into, by the path of its table."""
    for name, info in Settings.model_fields.items():
        (model,) = (kind for kind in (info.annotation, *get_args(info.annotation)) if isinstance(kind, type))
        yield name, model
    for point in importlib.metadata.entry_points(group=registry.GROUP):
        connector = point.load()
        place = {Role.CRM: f"crm.{point.name}", Role.MAILER: f"mail.{point.name}", Role.MAILBOX: "mailbox"}
        yield from _with_nested(place[connector.role], connector.settings_model)


def _with_nested(path: str, model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    yield path, model
    for name, info in model.model_fields.items():
        for kind in (info.annotation, *get_args(info.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _with_nested(f"{path}.{name}", kind)


def _shown(text: str) -> dict[str, tuple[Any, bool]]:
    """Each key of the example with its value and whether it is in force, or commented out ("# key = value")."""
    table, shown = "", {}
    for line in text.splitlines():
        header = re.fullmatch(r"(?:# )?\[{1,2}([a-z_.]+)\]{1,2}", line)
        pair = re.fullmatch(r"(# )?([a-z_]+) = (.+)", line)
        if header:
            table = header.group(1)
        elif pair:
            mark, key, value = pair.groups()
            shown[f"{table}.{key}"] = (tomllib.loads(f"value = {value}")["value"], mark is None)
    return shown


class TestExample:
    """config.example.toml."""

    def test_it_loads_unchanged(self) -> None:
        """Without a single environment variable, against the sandbox."""
        settings = load(EXAMPLE, {})
        assert settings.crm.connector == "salesforce"

    def test_it_points_at_the_sandbox(self) -> None:
        """The addresses, names and keys under which `crmdrip sandbox` answers."""
        settings = load(EXAMPLE, {})
        crm, mail = settings.crm.settings, settings.mail.settings
        app = crm.auth.client_credentials
        assert crm.base_url == f"http://127.0.0.1:{control.SALESFORCE_PORT}"
        assert f"{crm.domain}.salesforce.com" == control.MY_DOMAIN
        assert (app.consumer_key, app.consumer_secret.get_secret_value()) == (
            control.CONSUMER_KEY,
            control.CONSUMER_SECRET,
        )
        assert mail.base_url == f"http://127.0.0.1:{control.SENDGRID_PORT}"
        assert mail.api_key.get_secret_value() == control.SENDGRID_KEY

    def test_it_documents_every_key(self) -> None:
        """Every field of every model, the connectors' own included, and nothing that is not one."""
        tables = {path for path, _ in _models()}
        expected = {f"{path}.{name}" for path, model in _models() for name in model.model_fields} - tables
        expected -= {"crm.settings", "mail.settings", "mailbox.settings"}
        assert set(_shown(EXAMPLE.read_text(encoding="utf-8"))) == expected

    def test_what_is_commented_out_is_the_default(self) -> None:
        """A value behind "# " is the one that applies when the line is left out."""
        wrong = []
        fields = {f"{path}.{name}": info for path, model in _models() for name, info in model.model_fields.items()}
        for path, (value, in_force) in _shown(EXAMPLE.read_text(encoding="utf-8")).items():
            info = fields[path]
            default = info.get_default(call_default_factory=True)
            has_default = not info.is_required() and default is not None and not isinstance(default, SecretStr)
            given = tuple(value) if isinstance(default, tuple) else value
            # A list that is empty by default has an entry to copy.
            if not in_force and has_default and default not in ((), given):
                wrong.append((path, value, default))
        assert wrong == []


@pytest.mark.usefixtures("fakes")
def test_a_setting_that_may_be_one_thing_or_another_is_told_once_by_its_own_name(tmp_path: Path) -> None:
    """Not once per kind of value, under names that nobody typed."""
    found = problems(tmp_path, f'{GOOD}[web]\npublic_url = "http://mail.acme.example"\n')
    assert list(found) == ["web.public_url"]
    assert found["web.public_url"].what.startswith("must be https")


def test_what_the_sandbox_prints_fits_into_the_example(tmp_path: Path) -> None:
    """Pasted behind the heads of the tables it names: a daemon that hears the sandbox's posts."""
    text, table = EXAMPLE.read_text(encoding="utf-8"), ""
    for line in explain(Wires(event_key=KEY, inbound_key=KEY)).splitlines():
        if head := re.search(r"under (\[.+\]):", line):
            table = head[1]
        elif " = " in line:
            text = text.replace(f"\n{table}\n", f"\n{table}\n{line}\n")
    settings = read(tmp_path, text)
    assert settings.replies.domain == REPLY_DOMAIN
    assert settings.mail.settings.event_keys == settings.mail.settings.inbound_keys == (KEY,)
