"""Where bounces arrive: read in full, put away only when told, and one sentence when something is in the way."""

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from delivery.bounces.inboxes import from_url
from delivery.bounces.reports import LONGEST
from milepost.errors import DeliveryError, SettingsError
from tests.delivery.imap_server import ImapServer

ONE, TWO = b"Subject: one\r\n\r\nbody\r\n", b"Subject: two\r\n\r\n" + b"x" * 400_000


def raws(url: str, **options: Any) -> list[bytes]:
    with from_url(url, **options) as inbox:
        return [arrival.raw for arrival in inbox.arrivals()]


# --- a Maildir ------------------------------------------------------------------------------------------------------


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    for part in ("new", "cur", "tmp"):
        (tmp_path / "box" / part).mkdir(parents=True)
    return tmp_path / "box"


def test_a_maildir_gives_what_is_unseen_and_keeps_what_is_not_put_away(maildir: Path, tmp_path: Path) -> None:
    (maildir / "new" / "1.a").write_bytes(ONE)
    (maildir / "new" / "2.b").write_bytes(TWO)
    (maildir / "cur" / "0.old:2,S").write_bytes(b"seen")
    (maildir / "cur" / "0.flagged:2,F").write_bytes(b"flagged")
    (maildir / "tmp" / "3.half").write_bytes(b"half")
    with from_url("maildir:///box", folder=tmp_path) as inbox:
        arrivals = list(inbox.arrivals())
        assert [arrival.raw for arrival in arrivals] == [ONE, TWO[:LONGEST], b"flagged"]
        inbox.put_away([arrivals[0], arrivals[2]])
    assert sorted(path.name for path in (maildir / "cur").iterdir()) == ["0.flagged:2,FS", "0.old:2,S", "1.a:2,S"]
    assert raws("maildir:///box", folder=tmp_path) == [TWO[:LONGEST]]


def test_what_somebody_else_took_meanwhile_is_no_error(maildir: Path, tmp_path: Path) -> None:
    (maildir / "new" / "1.a").write_bytes(ONE)
    (maildir / "new" / "2.b").write_bytes(ONE)
    with from_url("maildir:///box", folder=tmp_path) as inbox:
        arrivals = inbox.arrivals()
        first = next(arrivals)
        (maildir / "new" / "2.b").unlink()
        assert list(arrivals) == []
        (maildir / "new" / "1.a").unlink()
        inbox.put_away([first])


def test_a_link_out_of_the_maildir_is_not_followed(maildir: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (maildir / "new" / "1.a").symlink_to(tmp_path / "secret")
    assert raws("maildir:///box", folder=tmp_path) == []


# --- an mbox --------------------------------------------------------------------------------------------------------


def test_an_mbox_is_read_message_by_message_and_never_written(tmp_path: Path) -> None:
    file = tmp_path / "in.mbox"
    text = (
        b"From MAILER-DAEMON Mon Nov 23 09:00:00 2026\nSubject: one\n\nWords\nFrom the sea\n\n>From here\n\n"
        b"From MAILER-DAEMON Mon Nov 23 09:00:01 2026\nSubject: two\n\n" + b"x" * 400_000 + b"\n\n"
        b"From MAILER-DAEMON Mon Nov 23 09:00:02 2026\nSubject: three\n\n" + b"y\n" * 200_000 + b"\n"
        b"From MAILER-DAEMON Mon Nov 23 09:00:03 2026\nSubject: four\n\nend"
    )
    file.write_bytes(text)
    with from_url("mbox:///in.mbox", folder=tmp_path) as inbox:
        arrivals = list(inbox.arrivals())
        inbox.put_away(arrivals)
    assert file.read_bytes() == text
    assert [arrival.raw.split(b"\n")[0] for arrival in arrivals] == [
        b"Subject: one", b"Subject: two", b"Subject: three", b"Subject: four",
    ]
    assert arrivals[0].raw == b"Subject: one\n\nWords\nFrom the sea\n\nFrom here\n\n"
    assert max(len(arrival.raw) for arrival in arrivals) == LONGEST


def test_an_empty_mbox_holds_nothing_and_another_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    assert raws("mbox:///empty", folder=tmp_path) == []
    (tmp_path / "notes").write_text("Dear diary,\n")
    with pytest.raises(DeliveryError, match="is no mbox"):
        raws("mbox:///notes", folder=tmp_path)


# --- IMAP -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def servers(authority: tuple[Path, ssl.SSLContext]) -> Iterator[Callable[..., ImapServer]]:
    started: list[ImapServer] = []

    def start(**options: Any) -> ImapServer:
        started.append(ImapServer(authority[1], **options))
        return started[-1]

    yield start
    for server in started:
        server.close()


def url_of(server: ImapServer, authority: tuple[Path, ssl.SSLContext], more: str = "") -> str:
    scheme = "imaps" if server.implicit else "imap"
    return f"{scheme}://reader@127.0.0.1:{server.port}/INBOX?cafile={authority[0]}{more}"


@pytest.mark.parametrize("implicit", [True, False], ids=["imaps", "starttls"])
def test_imap_gives_what_is_unseen_and_marks_what_is_put_away(servers: Any, authority: Any, implicit: bool) -> None:
    server = servers(implicit=implicit)
    first, second = server.add(ONE), server.add(ONE + b"2")
    server.add(b"seen").flags.add("\\Seen")
    with from_url(url_of(server, authority), password="pass word", timeout=5) as inbox:
        arrivals = list(inbox.arrivals())
        assert [arrival.raw for arrival in arrivals] == [ONE, ONE + b"2"]
        assert (first.flags, second.flags) == (set(), set())  # looked at, and nobody can tell
        inbox.put_away(arrivals[:1])
    assert (first.flags, second.flags) == ({"\\Seen"}, set())
    assert server.under_tls
    assert not any("LOGIN" in said for said in server.said)


@pytest.mark.parametrize("offers", ["MOVE", "IDLE"], ids=["move", "copy and delete"])
def test_imap_moves_where_it_is_told(servers: Any, authority: Any, offers: str) -> None:
    server = servers(offers=offers)
    server.add(ONE)
    target = quote("Gelöscht & \"done\"")
    with from_url(url_of(server, authority, f"&move={target}"), password="pass word", timeout=5) as inbox:
        inbox.put_away(list(inbox.arrivals()))
    [(folder, moved)] = server.moved.items()
    assert folder == 'Gel&APY-scht &- \\"done\\'
    assert [one.raw for one in moved] == [ONE]
    assert raws(url_of(server, authority), password="pass word", timeout=5) == []


def test_a_password_beyond_ascii(servers: Any, authority: Any) -> None:
    server = servers(password="pässword")
    assert raws(url_of(server, authority), password="pässword", timeout=5) == []


def test_a_wrong_password_is_told_without_showing_it(servers: Any, authority: Any) -> None:
    server = servers()
    with pytest.raises(DeliveryError, match=r"refuses the login of reader .*who are you") as caught:
        raws(url_of(server, authority), password="not-it", timeout=5)
    assert "not-it" not in str(caught.value)


def test_a_certificate_of_nobody_we_know_gets_no_password(servers: Any, authority: Any) -> None:
    server = servers()
    with pytest.raises(DeliveryError, match="shows a certificate that is not trusted"):
        raws(url_of(server, authority).partition("?")[0], password="pass word", timeout=5)
    assert server.said == []


def test_without_starttls_no_password_is_sent(servers: Any, authority: Any) -> None:
    server = servers(implicit=False, starttls=False)
    with pytest.raises(DeliveryError, match="offers no STARTTLS, so no password was sent"):
        raws(url_of(server, authority), password="pass word", timeout=5)
    assert not any(said.startswith(("LOGIN", "AUTH")) for said in server.said)


@pytest.mark.parametrize(
    ("verb", "sentence"),
    [("SELECT", "has no mailbox 'INBOX'"), ("SEARCH", "can't be searched"), ("FETCH", "can't give us message 101")],
)
@pytest.mark.parametrize("how", ["refuses", "hangs up"])
def test_trouble_is_one_sentence(servers: Any, authority: Any, verb: str, sentence: str, how: str) -> None:
    server = servers()
    server.add(ONE)
    if how == "refuses":
        server.refuse.add(verb)
    else:
        server.drop_at = verb
    with pytest.raises(DeliveryError, match=sentence):
        raws(url_of(server, authority), password="pass word", timeout=5)


def test_nobody_listens(closed_port: int) -> None:
    with pytest.raises(DeliveryError, match=r"imaps://127\.0\.0\.1:\d+: can't be reached \(Connection refused\)"):
        raws(f"imaps://reader@127.0.0.1:{closed_port}", password="x", timeout=5)


# --- what may be asked for --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["", "pop3://u@h", "maildir:box", "mbox:///", "imaps://host/INBOX", "imaps://u@h:99999", "imaps://u@h?x=1",
     "imaps://u@h/INBOX?cafile=/nowhere/ca.pem", "imaps://u@h", "imaps://u@[::1"],
)
def test_anything_else_is_one_sentence(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^bounces: "):
        raws(url, password=None if url == "imaps://u@h" else "x", timeout=0.1)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    for scheme in ("maildir", "mbox"):
        with pytest.raises(DeliveryError, match="can't be read \\(No such file"):
            raws(f"{scheme}:///nowhere", folder=tmp_path)
