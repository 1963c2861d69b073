"""Settings: the documented file works as it stands, the environment wins, and a wrong value is one sentence."""

import logging
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from milepost.errors import SettingsError
from milepost.settings import load, parse

DOCUMENTED = """
[store]
url = "sqlite:///milepost.db"
[[sources]]
key = "aitimeline"
extractor = "aitimeline"
base_url = "https://aitimeline.world"
fetch_from = "http://127.0.0.1:8100"      # a mirror: pages keep their base_url identity
allow_hosts = ["127.0.0.1"]               # private addresses that may be fetched
[mail]
url = "smtp://127.0.0.1:2525"
from = "AI Timeline <news@timeline.example>"
postal_address = "1 Example Street, Exampletown"
[web]
base_url = "https://news.timeline.example"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "milepost.toml"
    path.write_text(DOCUMENTED, encoding="utf-8")
    return path


@pytest.mark.parametrize(("old", "new"), [
    pytest.param("[web]", '[webhooks]\nurls = ["https://chat.example/hooks/open-sesame?v=1"]\n[web]', id="a path"),
    pytest.param("https://aitimeline.world", "https://aitimeline.world/?key=open-sesame", id="a query"),
])
def test_an_address_that_is_refused_keeps_what_may_be_a_secret(file: Path, old: str, new: str) -> None:
    file.write_text(DOCUMENTED.replace(old, new), encoding="utf-8")
    with pytest.raises(SettingsError, match=r"\(masked\)") as caught:
        load(file)
    assert "open-sesame" not in str(caught.value)


def test_the_documented_file_works_as_it_stands(file: Path) -> None:
    settings = load(file)
    assert settings.source("aitimeline").fetch_from == "http://127.0.0.1:8100"
    assert settings.source("aitimeline").allow_hosts == ("127.0.0.1",)
    assert settings.mail.sender == "AI Timeline <news@timeline.example>"
    assert settings.web.signing_key is None


def test_a_relative_database_belongs_beside_the_file(file: Path) -> None:
    assert load(file).store.url == f"sqlite:///{file.parent / 'milepost.db'}"


def test_a_relative_maildir_belongs_beside_the_file(tmp_path: Path) -> None:
    path = tmp_path / "milepost.toml"
    path.write_text('[mail]\nurl = "maildir:///outbox"\n', encoding="utf-8")
    assert load(path).mail.url.get_secret_value() == f"maildir:///{tmp_path / 'outbox'}"


def test_the_environment_wins(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_NEWSLETTER__HOUR", "17")
    monkeypatch.setenv("MILEPOST_NEWSLETTER__CADENCES", '["weekly"]')
    monkeypatch.setenv("MILEPOST_MAIL__URL", "smtps://user:hidden@relay.example")
    settings = load(file)
    assert settings.newsletter.hour == 17
    assert settings.newsletter.cadences == ("weekly",)
    assert settings.mail.url.get_secret_value() == "smtps://user:hidden@relay.example"
    assert settings.mail.postal_address == "1 Example Street, Exampletown"


def test_the_file_may_be_named_by_the_environment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_CONFIG", str(file))
    assert load().sources[0].key == "aitimeline"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        pytest.param({"newsletter": {"hour": 25}}, "newsletter.hour = 25 is not allowed", id="number-out-of-range"),
        pytest.param({"newsletter": {"cadences": ["hourly"]}}, "'instant', 'daily', 'weekly' or 'monthly'", id="word"),
        pytest.param({"newsletter": {"timezone": "Mars/Olympus"}}, "want an IANA time zone", id="time-zone"),
        pytest.param({"newsletter": {"accent": "red"}}, 'accent = "red" is not allowed: want a colour', id="colour"),
        pytest.param({"sources": [{"key": "a", "extractor": "generic", "base_url": "https://a.example",
                                   "feeds": ["f"]}]},
                     """source 'a': feeds = ["f"] is not allowed: want "auto", or a list of paths""", id="feeds"),
        pytest.param({"newsletter": {"quiet_minutes": -1}}, "quiet_minutes = -1 is not allowed", id="quiet-window"),
        pytest.param({"mail": {"feedback_id": "x"}}, "want up to three labels and a sender", id="feedback-id"),
        pytest.param({"mail": {"form": "x"}}, "mail.form is not a setting. Did you mean mail.from?", id="misspelt-key"),
        pytest.param({"mails": {}}, "mails is not a setting. Did you mean mail?", id="misspelt-section"),
        pytest.param({"_env_file": "x"}, "_env_file is not a setting", id="another-program's-option"),
        pytest.param({"newsletter": {"hour": "nine"}}, 'hour = "nine" is not allowed: want a whole number', id="text"),
        pytest.param({"newsletter": {"approval": "perhaps"}}, "want true or false", id="no-truth"),
        pytest.param({"newsletter": {"cadences": "weekly"}}, 'want a list, as in ["weekly"]', id="no-list"),
        pytest.param({"mail": "smtp://x"}, "want a section, as in [mail]", id="no-section"),
        pytest.param({"mail": {"per_second": 0}}, "mail.per_second = 0 is not allowed: want more than 0", id="zero"),
        pytest.param({"sources": {"key": "a"}}, "want a list, as in [[sources]]", id="single-brackets"),
        pytest.param(
            {"sources": [{"key": "a", "extractor": "a", "base_url": "https://a.example", "allow_hosts": "127.0.0.1"}]},
            'source \'a\': allow_hosts = "127.0.0.1" is not allowed: want a list', id="hosts-not-in-a-list",
        ),
        pytest.param(
            {"sources": [{"key": "a", "extractor": "a", "base_url": "https://a.example", "classes": {"tg": "ignore"}}]},
            "there is no field 'tg'; choose from title, date", id="class-of-no-field",
        ),
        pytest.param(
            {"sources": [{"key": "a", "extractor": "a", "base_url": "https://a.example", "classes": {"tags": "no"}}]},
            "source 'a': classes.tags = \"no\" is not allowed: want 'ignore', 'cosmetic'", id="no-class",
        ),
        pytest.param(
            {"sources": [{"key": "a", "extractor": "a", "base_url": "https://a.example", "believe_first": ["titel"]}]},
            "there is no field 'titel'", id="no-field-to-believe",
        ),
        pytest.param({"mail": {"from": "a@x.example, b@x.example"}}, "want one address", id="two-addresses"),
        pytest.param({"mail": {"from": "A <a@x.example>, B <b@x.example>"}}, "want one address", id="two-named"),
        pytest.param({"mail": {"url": "smtp://relay.example:99999"}}, "want a port from 1 to 65535", id="port"),
        pytest.param({"mail": {"from": "A <a@x.example>\r\nBcc: b@x.example"}}, "want one address", id="header-trick"),
        pytest.param({"store": {"url": "mysql://x"}}, "want sqlite:///FILE or postgresql://", id="database"),
        pytest.param({"sources": [{"key": "a", "extractor": "a"}]}, "source 'a': base_url is missing", id="missing"),
        pytest.param(
            {"sources": [{"key": "a", "extractor": "a", "base_url": "ftp://a.example"}]},
            "want an http:// or https:// address", id="scheme",
        ),
        pytest.param(
            {"sources": [{"key": "a", "extractor": "a", "base_url": "https://a.example"}] * 2},
            "two sources share the key 'a'", id="same-key-twice",
        ),
    ],
)
def test_a_wrong_setting_is_one_sentence(data: dict[str, object], sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(data)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "tuple" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "secret"),
    [
        pytest.param({"mail": {"url": "imap://user:hunter2hunter2@x.example"}}, "hunter2", id="mail-url"),
        pytest.param({"mail": {"fallback": "ses://user:hunter2@x"}}, "hunter2", id="mail-fallback"),
        pytest.param({"mail": {"fallback": "smtps://user:hunter2@x:99999"}}, "hunter2", id="mail-fallback-port"),
        pytest.param({"web": {"signing_key": "too-short-to-sign"}}, "too-short-to-sign", id="signing-key"),
        pytest.param({"store": {"url": "mysql://user:hunter2@db.example/x"}}, "hunter2", id="store-url"),
        pytest.param(
            {"sources": [{"key": "a", "extractor": "a", "base_url": "https://u:hunter2@x.example"}]}, "hunter2",
            id="source",
        ),
    ],
)
def test_a_wrong_secret_is_not_shown(data: dict[str, object], secret: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(data)
    assert secret not in str(caught.value)


def test_secrets_are_masked_wherever_settings_are_printed() -> None:
    mail = {"url": "smtps://user:hunter2@x.example", "fallback": "smtps://user:hunter2@y.example"}
    settings = parse({"mail": mail, "web": {"signing_key": "k" * 32}})
    assert "hunter2" not in repr(settings)
    assert "kkkk" not in repr(settings)
    assert "hunter2" not in settings.model_dump_json()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(None, "there is no such file. Run `milepost init`", id="absent"),
        pytest.param(b"[mail]\nurl = \n", "is not valid TOML: Invalid value (at line 2, column 7)", id="not-toml"),
        pytest.param(b"[mail]\n# caf\xe9\n", "it is not UTF-8 text (line 2). Save it in the encoding", id="not-text"),
    ],
)
def test_an_unreadable_file_is_one_sentence(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    path = tmp_path / "milepost.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        load(path)
    assert sentence in str(caught.value)
    assert "milepost.toml" in str(caught.value)


def test_a_folder_is_no_settings_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"is a folder. Name the file in it, as in --config .*milepost\.toml"):
        load(tmp_path)


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    path = tmp_path / "milepost.toml"
    path.touch()
    assert load(path).sources == ()


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        pytest.param("MILEPOST_MAIL_URL", "x", "The nearest is MILEPOST_MAIL__URL", id="one-underscore"),
        pytest.param("MILEPOST_MIAL__URL", "x", "The nearest is MILEPOST_MAIL__URL", id="misspelt-section"),
        pytest.param("MILEPOST_GUARDS__SURGE_MINN", "1", "MILEPOST_GUARDS__SURGE_MIN;", id="misspelt-key"),
        pytest.param("MILEPOST_SOURCES__0__KEY", "a", "The nearest is MILEPOST_SOURCES;", id="part-of-a-list"),
        pytest.param("MILEPOST_NEWSLETTER__HOUR", "99", "newsletter.hour = \"99\" is not allowed", id="wrong-value"),
        pytest.param("MILEPOST_NEWSLETTER", '{"hour": 99}', "newsletter.hour = 99 is not allowed", id="in-a-section"),
        pytest.param("MILEPOST_NEWSLETTER__CADENCES", "weekly", "is not JSON", id="a-list-that-is-no-json"),
        pytest.param("MILEPOST_SOURCES", "aitimeline", "is not JSON", id="sources-that-are-no-json"),
        pytest.param("MILEPOST_SOURCES", '[{"key": "a"}]', "source number 1: extractor is missing", id="half-a-source"),
        pytest.param("milepost_newsletter__hour", "99", "newsletter.hour", id="lower-case"),
    ],
)
def test_a_wrong_variable_is_blamed_by_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        parse({}, file="milepost.toml")
    assert caught.value.where == name
    assert sentence in str(caught.value)
    assert "milepost.toml" not in str(caught.value)


def test_the_file_is_blamed_for_what_stands_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_NEWSLETTER", '{"hour": 9}')
    with pytest.raises(SettingsError, match=r"newsletter\.name = 3") as caught:
        parse({"newsletter": {"name": 3}}, file="milepost.toml")
    assert caught.value.where == "milepost.toml"


def test_a_secret_in_a_variable_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_MAIL__URL", "imap://user:hunter2@x.example")
    with pytest.raises(SettingsError) as caught:
        parse({})
    assert "hunter2" not in str(caught.value)


def test_variables_of_other_programs_are_told_once_and_ignored(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MILEPOST_PORT", "tcp://10.0.0.1:8025")
    monkeypatch.setenv("MILEPOST_HOME", "/srv/milepost")
    logger = logging.getLogger("milepost.settings")
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    parse({})
    assert [record.getMessage().split("; ")[0] for record in caplog.records if "MILEPOST_PORT" in record.getMessage()]
    assert not [record for record in caplog.records if "MILEPOST_HOME" in record.getMessage()]


def test_the_starter_file_is_valid_private_and_signed(tmp_path: Path) -> None:
    from console.commands.setup import init

    path = tmp_path / "milepost.toml"
    init(path)
    settings = load(path)
    assert settings.web.signing_key is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [source.key for source in settings.sources] == ["aitimeline"]


@pytest.mark.parametrize("folder", ["CREDENTIALS_DIRECTORY", "MILEPOST_SECRETS"])
def test_a_secret_file_is_read_as_the_variable_of_its_name(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Editors end a file with a line end, which no relay takes for a password's."""
    monkeypatch.setenv(folder, str(tmp_path))
    (tmp_path / "MILEPOST_MAIL__URL").write_bytes(b"smtps://news:word@mail.example\r\n")
    (tmp_path / "POSTGRES_PASSWORD").write_text("another program's", encoding="utf-8")
    assert parse({}).mail.url.get_secret_value() == "smtps://news:word@mail.example"


@pytest.mark.parametrize(("make", "says"), [
    (lambda file: file.write_text("\n", encoding="utf-8"), "is empty"),
    (lambda file: file.write_bytes(b"\xff\xfe"), "is not UTF-8"),
    (lambda file: file.write_bytes(b"x" * 70_000), "is too long"),
    (lambda file: file.mkdir(), "is a folder"),
])
def test_a_secret_file_that_can_t_be_one_is_told(
    make: Callable[[Path], object], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILEPOST_SECRETS", str(tmp_path))
    make(tmp_path / "MILEPOST_MAIL__URL")
    with pytest.raises(SettingsError, match=says):
        parse({})


def test_a_secret_that_is_set_twice_or_lies_nowhere_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_SECRETS", str(tmp_path))
    (tmp_path / "MILEPOST_MAIL__URL").write_text("maildir:///one", encoding="utf-8")
    monkeypatch.setenv("MILEPOST_MAIL__URL", "maildir:///another")
    with pytest.raises(SettingsError, match="sets what MILEPOST_MAIL__URL sets already"):
        parse({})
    monkeypatch.setenv("MILEPOST_SECRETS", str(tmp_path / "missing"))
    with pytest.raises(SettingsError, match="can't be listed"):
        parse({})


def test_a_secret_file_s_wrong_value_is_masked_and_a_wrong_name_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILEPOST_SECRETS", str(tmp_path))
    (tmp_path / "MILEPOST_WEB__SIGNING_KEY").write_text("short", encoding="utf-8")
    with pytest.raises(SettingsError, match="masked") as caught:
        parse({})
    assert "short" not in str(caught.value)
    (tmp_path / "MILEPOST_WEB__SIGNING_KEY").rename(tmp_path / "MILEPOST_WEB__SIGNIN_KEY")
    with pytest.raises(SettingsError, match="MILEPOST_WEB__SIGNING_KEY"):
        parse({})
