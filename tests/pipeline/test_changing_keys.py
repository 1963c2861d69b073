"""Secrets are changed while everything runs: what was signed before goes on working, and what leaked does less."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from pydantic import SecretStr

from delivery.message import tokens
from milepost.dates import utc_now
from milepost.errors import ConflictError, InputError, NotFoundError, SettingsError
from milepost.settings import Settings, parse
from pipeline import dispatch as steps
from pipeline.link_keys import link_keys, signing_key
from pipeline.mail_identity import signer
from pipeline.operate.rotation import ACCEPTED_FOR, known_keys, old_secrets
from pipeline.operate.standing import stand, standing_to_json
from pipeline.operators import link_keys as changing
from pipeline.operators.acts import latest
from pipeline.publish import publish
from store.database import Database, connect
from store.schema.tables import delivery, meta
from store.signing_keys import SigningKeys, key_name
from tests.pipeline import prepared
from tests.pipeline.stage import READERS, BreakableSite

NOW = dt.datetime(2031, 1, 1, 9, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(days=60)


def with_keys(settings: Settings, now: str | None, *before: str) -> Settings:
    web = {"signing_key": now and SecretStr(now), "previous_signing_keys": tuple(map(SecretStr, before))}
    return settings.model_copy(update={"web": settings.web.model_copy(update=web)})


@pytest.fixture
def kept(settings: Settings) -> Iterator[Database]:
    """One that has signed something with a key of its own."""
    prepared.copy("baseline", settings)
    with connect(settings.store.url) as opened:
        signing_key(settings, opened)
        yield opened


def test_what_a_key_of_before_signed_is_known(settings: Settings, kept: Database) -> None:
    own = signing_key(settings, kept)
    rotated = with_keys(settings, "b" * 32, "a" * 32)
    assert signing_key(rotated, kept) == b"b" * 32
    assert link_keys(rotated, kept).believed == link_keys(rotated, kept).every == (b"b" * 32, b"a" * 32, own)
    with pytest.raises(SettingsError, match="previous_signing_keys"):
        parse({"web": {"previous_signing_keys": ["short"]}})


def test_the_database_s_key_is_changed_and_old_links_go_on(settings: Settings, kept: Database) -> None:
    first = signing_key(settings, kept)
    for day in (1, 2):
        changing.rotate(settings, kept, has_leaked=False, why="once a year", by="ann", now=NOW + dt.timedelta(days=day))
    keys = link_keys(settings, kept)
    assert keys.before[-1] == first
    assert len(set(keys.believed)) == 3
    assert keys.now == signing_key(settings, kept)
    act = latest(kept)[0]
    assert (act.what, act.outcome, act.why) == ("key.rotate", "done", "once a year")
    shown = repr((act, known_keys(settings, kept)))
    assert not any(key.hex() in shown for key in keys.every)


def test_a_leaked_key_is_believed_for_leaving_alone(settings: Settings, kept: Database) -> None:
    first = signing_key(settings, kept)
    changing.rotate(settings, kept, has_leaked=True, why="a backup was stolen", by="ann", now=NOW)
    keys = link_keys(settings, kept)
    assert first in keys.every
    assert first not in keys.believed
    assert first not in keys.before
    assert [one.leaked_at for one in known_keys(settings, kept)] == [None, NOW]


def test_a_key_of_the_settings_is_said_to_have_leaked_once_it_signs_no_more(settings: Settings, kept: Database) -> None:
    old, new = "o" * 32, "n" * 32
    name = key_name(old.encode())
    with pytest.raises(ConflictError, match="signs the links"):
        changing.leaked(with_keys(settings, old), kept, name, why="in a log", by="ann", now=NOW)
    with pytest.raises(ConflictError, match="the settings set the key"):
        changing.rotate(with_keys(settings, old), kept, has_leaked=False, why="x", by="ann", now=NOW)
    after = with_keys(settings, new, old)
    with pytest.raises(NotFoundError, match="no key of that name"):
        changing.leaked(after, kept, "00000000", why="in a log", by="ann", now=NOW)
    with pytest.raises(InputError, match="empty"):
        changing.leaked(after, kept, name, why=" ", by="ann", now=NOW)
    changing.leaked(after, kept, name, why="in a log", by="ann", now=NOW)
    assert link_keys(after, kept).leaked == (old.encode(),)
    back = stand(with_keys(settings, old), now=NOW, database=kept)
    assert [one.about or one.name for one in back.conditions if one.kind == "leaked-key"] == [name]


def test_two_changes_in_a_row_lose_no_key(kept: Database) -> None:
    keys = SigningKeys(kept)
    first = keys.own()
    old, new = keys.rotate(NOW)
    again, newest = keys.rotate(NOW)
    assert (old, again) == (first, new)
    assert set(keys.kept()[0]) == {first, new, newest}


def test_an_old_secret_is_told_of_when_it_stays_too_long(settings: Settings, kept: Database) -> None:
    secret = SecretStr("a password that was good enough")
    webhooks = settings.webhooks.model_copy(update={"previous_secret": secret})
    mail = settings.mail.model_copy(update={"previous_dkim_selectors": ("s2025",)})
    changed = with_keys(settings, "n" * 32, "o" * 32).model_copy(update={"webhooks": webhooks, "mail": mail})
    now_so = stand(changed, now=NOW, database=kept)
    assert not [one for one in now_so.conditions if one.kind == "old-secret"]
    told = {one["setting"]: one["until"] for one in standing_to_json(now_so, changed)["old_secrets"]}
    assert told["web.previous_signing_keys"] is None
    assert told["webhooks.previous_secret"] == (NOW + dt.timedelta(days=30)).isoformat()
    late = [one for one in stand(changed, now=LATER, database=kept).conditions if one.kind == "old-secret"]
    assert [(one.about, one.since) for one in late] == [
        ("webhooks.previous_secret", NOW), ("mail.previous_dkim_selectors", NOW),
    ]  # old links are for good
    assert {one.setting for one in old_secrets(changed, kept, LATER)} < set(ACCEPTED_FOR)
    with kept.connect() as connection:
        written = repr(connection.execute(meta.select()).all())
    assert secret.get_secret_value() not in written
    another = webhooks.model_copy(update={"previous_secret": SecretStr("the next one, a year later")})
    assert not [
        one for one in old_secrets(settings.model_copy(update={"webhooks": another}), kept, LATER) if one.overdue(LATER)
    ]


def test_every_setting_that_holds_an_old_secret_is_told_of() -> None:
    standing = {
        f"{section}.{name}" for section, field in Settings.model_fields.items()
        for name in getattr(field.annotation, "model_fields", {}) if name.startswith("previous_")
    }
    assert standing == set(ACCEPTED_FOR)


def test_the_docs_say_how_long_each_is_accepted() -> None:
    told = (Path(__file__).parents[2] / "docs" / "operations" / "keys.md").read_text(encoding="utf-8")
    for setting, days in ACCEPTED_FOR.items():
        [row] = [line for line in told.splitlines() if line.startswith(f"| `{setting}` |")]
        assert (f"{days} days" if days else "for good") in row


def test_an_issue_in_the_middle_goes_on_with_the_new_signature(
    settings: Settings, site: BreakableSite, mails: Path, tmp_path: Path
) -> None:
    prepared.copy("news", settings)
    site.publish()
    publish(settings)
    [number] = steps.waiting(settings)
    signed = [_signed(settings, tmp_path, selector) for selector in ("s2026", "s2027")]

    mailbox_full = {"state": "deferred", "next_attempt_at": utc_now() + dt.timedelta(hours=1)}
    with connect(settings.store.url) as database, database.begin() as connection:
        connection.execute(delivery.update().where(delivery.c.address != READERS[0]).values(mailbox_full))
    first = steps.dispatch(signed[0], number)
    assert first.report.results == {"sent": 1}
    with connect(settings.store.url) as database, database.begin() as connection:
        connection.execute(delivery.update().where(delivery.c.state == "deferred").values(next_attempt_at=utc_now()))
    last = steps.dispatch(signed[1], number)
    assert last.report.state == "complete"
    by = dict.fromkeys(("s2026", "s2027"), 0)
    records = {one.record_name: one.record.encode() for one in map(signer, signed) if one}
    for path in mails.rglob("*.eml"):
        raw = path.read_bytes()
        assert dkim.verify(raw, dnsfunc=lambda name, **_: records.get(name.decode().rstrip(".")))
        by[raw.partition(b" s=")[2].partition(b";")[0].decode()] += 1
    assert sum(by.values()) == len(READERS)
    assert by["s2026"] == 1


def _signed(settings: Settings, folder: Path, selector: str) -> Settings:
    file = folder / f"{selector}.pem"
    file.write_bytes(ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ))
    return settings.model_copy(update={"mail": settings.mail.model_copy(
        update={"dkim_key_file": file, "dkim_selector": selector}
    )})


def test_a_token_of_a_leaked_key_names_its_reader_still(settings: Settings, kept: Database) -> None:
    first = signing_key(settings, kept)
    made = tokens.make(first, handle="0" * 20, list_id="news.clockwork.example")
    changing.rotate(settings, kept, has_leaked=True, why="lost", by="ann", now=NOW)
    keys = link_keys(settings, kept)
    assert any(tokens.verify(key, made) for key in keys.every)
    assert not any(tokens.verify(key, made) for key in keys.believed)
