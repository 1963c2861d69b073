"""One line in the settings becomes a transport, or one clear sentence."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from delivery.dispatch import dispatch
from delivery.maildir import MaildirTransport
from delivery.ports import ConnectError
from delivery.smtp.session import SmtpTransport
from delivery.transports import from_url
from milepost.errors import SettingsError

MESSAGE = b"Message-ID: <one@timeline.example>\r\nSubject: x\r\n\r\nbody\r\n"


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("smtp://127.0.0.1:2525", "smtp://127.0.0.1:2525"), ("smtp://localhost", "smtp://localhost:25"),
        ("smtp://[::1]:2525/", "smtp://[::1]:2525"), ("smtps://relay.example", "smtps://relay.example:465"),
        ("SMTP+STARTTLS://u:p@relay.example", "smtp+starttls://relay.example:587"),
        ("smtp://10.0.0.1?plaintext=1", "smtp://10.0.0.1:25"),
    ],
)
def test_smtp(url: str, where: str) -> None:
    transport = from_url(url, timeout=60, hello="news.example")
    assert isinstance(transport, SmtpTransport)
    assert transport.where == where
    assert transport.timeouts.dot == 60
    assert transport.hello == "news.example"


def test_user_and_password_are_decoded() -> None:
    transport = from_url("smtps://us%40er:p%2F%3A%40%25@relay.example")
    assert isinstance(transport, SmtpTransport)
    assert (transport.user, transport.password) == ("us@er", "p/:@%")
    assert "p/:@%" not in repr(transport)


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("maildir:///outbox", Path("/base/outbox")), ("maildir:///a/b%20c", Path("/base/a/b c")),
        ("maildir:////var/outbox", Path("/var/outbox")),
    ],
)
def test_maildir(url: str, folder: Path) -> None:
    assert from_url(url, folder=Path("/base")) == MaildirTransport(folder=folder)


WRONG = [
    "", "mailto:a@b.example", "http://relay.example", "smtp://", "smtp://:25", "smtp://relay.example:0",
    "smtp://relay.example:99999", "smtp://relay.example:port", "smtp://[::1", "smtps://relay.example/path",
    "smtps://relay.example?plain=1", "smtp://relay.example?plaintext=yes", "smtps://relay.example#x", "maildir:outbox",
    "maildir://outbox", "maildir:///", "maildir:///out?x=1", "smtps://relay.example?cafile=/nowhere/ca.pem",
]


@pytest.mark.parametrize("url", WRONG)
def test_anything_else_is_one_sentence(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^mail\.url: "):
        from_url(url)


def test_an_error_never_shows_the_password() -> None:
    for url in ("smtp://user:hush@relay.example", "smtps://user:hush@relay.example:x", "smtps://user:hush@relay.example/y"):
        with pytest.raises(SettingsError) as caught:
            from_url(url)
        assert "hush" not in f"{caught.value!s} {caught.value!r}"


# --- the folder -----------------------------------------------------------------------------------------------------


def test_dispatch_into_a_folder_and_again(tmp_path: Path, ledgers: Any, mailing: Any, clock: Any) -> None:
    transport = from_url("maildir:///outbox", folder=tmp_path)
    report = dispatch(ledgers(3), transport, mailing, now=clock)
    files = {path.name: path.read_bytes() for path in (tmp_path / "outbox" / "new").iterdir()}
    assert report.results == {"sent": 3}
    assert len(files) == 3
    assert list((tmp_path / "outbox" / "tmp").iterdir()) == []
    # Even a ledger that has forgotten everything makes no second file.
    assert dispatch(ledgers(3), transport, mailing, now=clock).results == {"sent": 3}
    assert {path.name: path.read_bytes() for path in (tmp_path / "outbox" / "new").iterdir()} == files


def test_a_message_that_was_read_meanwhile_is_not_written_again(tmp_path: Path) -> None:
    session = MaildirTransport(folder=tmp_path).open()
    assert session.data(MESSAGE).code == 250
    written = tmp_path / "new" / "one@timeline.example.eml"
    assert written.read_bytes() == MESSAGE
    written.rename(tmp_path / "cur" / f"{written.name}:2,S")
    assert "it was there" in session.data(MESSAGE).text
    assert list((tmp_path / "new").iterdir()) == []


def test_what_mails_say_is_for_their_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        session = MaildirTransport(folder=tmp_path / "box").open()
        draft = tmp_path / "box" / "tmp" / f"one@timeline.example.eml.{os.getpid()}"
        draft.touch(0o666)  # of a process that died and had our number
        assert session.data(MESSAGE).code == 250
    finally:
        os.umask(before)
    made = [tmp_path / "box", *(tmp_path / "box").rglob("*")]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in made}
    assert modes == {"box": 0o700, "tmp": 0o700, "new": 0o700, "cur": 0o700, "one@timeline.example.eml": 0o600}


@pytest.mark.parametrize("message_id", ["../../../etc/passwd@x", ".hidden@x", "a/b@x", "a\\b*?@x", "x" * 900 + "@y"])
def test_a_message_id_is_never_a_path(message_id: str, tmp_path: Path) -> None:
    session = MaildirTransport(folder=tmp_path / "box").open()
    assert session.data(f"Message-ID: <{message_id}>\r\n\r\nx\r\n".encode()).code == 250
    assert [path.relative_to(tmp_path).parent for path in tmp_path.rglob("*.eml")] == [Path("box/new")]


def test_a_message_without_an_id_is_refused(tmp_path: Path) -> None:
    reply = MaildirTransport(folder=tmp_path).open().data(b"Subject: x\r\n\r\nMessage-ID: <in@body>\r\n")
    assert reply.code == 554


def test_a_file_in_the_way_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("a file")
    with pytest.raises(ConnectError, match=r"the folder .*outbox can't be used"):
        MaildirTransport(folder=tmp_path / "outbox").open()


@pytest.mark.skipif(not hasattr(os, "statvfs") or not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_defers_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    session = MaildirTransport(folder=tmp_path).open()
    draft = tmp_path / "tmp" / f"one@timeline.example.eml.{os.getpid()}"
    draft.symlink_to("/dev/full")
    reply = session.data(MESSAGE)
    assert (reply.code, reply.enhanced) == (452, "4.3.1")
    assert "No space left" in reply.text
    assert [path for path in tmp_path.rglob("*") if not stat.S_ISDIR(path.lstat().st_mode)] == []
    assert session.data(MESSAGE).code == 250
