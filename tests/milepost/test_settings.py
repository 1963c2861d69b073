"""Settings: the documented file works as it stands, the environment wins, and a wrong value is one sentence."""

import stat
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
        pytest.param({"newsletter": {"accent": "red"}}, "newsletter.accent = 'red'", id="colour"),
        pytest.param({"mail": {"form": "x"}}, "mail.form is not a setting", id="misspelt-key"),
        pytest.param({"mails": {}}, "mails is not a setting", id="misspelt-section"),
        pytest.param({"mail": {"from": "a@x.example, b@x.example"}}, "want one address", id="two-addresses"),
        pytest.param({"mail": {"from": "A <a@x.example>, B <b@x.example>"}}, "want one address", id="two-named"),
        pytest.param({"mail": {"url": "smtp://relay.example:99999"}}, "want a port from 1 to 65535", id="port"),
        pytest.param({"mail": {"from": "A <a@x.example>\r\nBcc: b@x.example"}}, "want one address", id="header-trick"),
        pytest.param({"store": {"url": "mysql://x"}}, "want sqlite:///FILE or postgresql://", id="database"),
        pytest.param({"sources": [{"key": "a", "extractor": "a"}]}, "sources.0.base_url is missing", id="missing"),
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


@pytest.mark.parametrize(
    ("data", "secret"),
    [
        pytest.param({"mail": {"url": "imap://user:hunter2hunter2@x.example"}}, "hunter2", id="mail-url"),
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
    settings = parse({"mail": {"url": "smtps://user:hunter2@x.example"}, "web": {"signing_key": "k" * 32}})
    assert "hunter2" not in repr(settings)
    assert "kkkk" not in repr(settings)
    assert "hunter2" not in settings.model_dump_json()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(None, "there is no such file. Run `milepost init`", id="absent"),
        pytest.param(b"[store\n", "is not valid TOML", id="not-toml"),
        pytest.param(b"\xff\xfe", "it is not UTF-8 text", id="not-text"),
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


def test_a_variable_that_is_not_the_json_it_must_be_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_SOURCES", "aitimeline")
    with pytest.raises(SettingsError) as caught:
        parse({})
    assert "MILEPOST_" in str(caught.value)


def test_the_starter_file_is_valid_private_and_signed(tmp_path: Path) -> None:
    from milepost.cli.commands_setup import init

    path = tmp_path / "milepost.toml"
    init(path)
    settings = load(path)
    assert settings.web.signing_key is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [source.key for source in settings.sources] == ["aitimeline"]
