"""An IMAP mailbox that bounces arrive at: unseen messages are fetched, and seen (or moved) once they count.

    TLS ─▶ LOGIN ─▶ SELECT ─▶ UID SEARCH UNSEEN ─▶ UID FETCH BODY.PEEK[]<0.n> … ─▶ UID STORE \\Seen | UID MOVE

Sources: RFC 3501 (IMAP4rev1), RFC 6851 (MOVE), RFC 8314 (TLS). PEEK leaves the flags of what is no bounce alone.
"""

import contextlib
import imaplib
import ssl
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from delivery.bounces.reports import LONGEST
from delivery.ports import Arrival
from delivery.tls import trusting
from milepost.errors import DeliveryError, SettingsError

_CHUNK = 100  # messages named in one command


@dataclass(frozen=True, slots=True)
class ImapInbox:
    """An open mailbox; `opened` makes one."""

    client: imaplib.IMAP4
    where: str
    move_to: str | None
    moves: bool  # RFC 6851

    @classmethod
    @contextlib.contextmanager
    def opened(
        cls, *, host: str, port: int, user: str, password: str, mailbox: str, implicit_tls: bool,
        cafile: str | None, move_to: str | None, timeout: float,
    ) -> "Iterator[ImapInbox]":
        """Connect, secure, log in, select; raises DeliveryError, or SettingsError for a `cafile` that is none.

        The password never goes over a connection without TLS; the certificate is checked.
        """
        where = f"imap{'s' * implicit_tls}://{host}:{port}"
        context = trusting(cafile, where="bounces")
        with _told(where, "can't be reached"):
            client: imaplib.IMAP4 = (
                imaplib.IMAP4_SSL(host, port, ssl_context=context, timeout=timeout) if implicit_tls
                else imaplib.IMAP4(host, port, timeout=timeout)
            )
        try:
            if not implicit_tls:
                if "STARTTLS" not in client.capabilities:
                    raise DeliveryError("offers no STARTTLS, so no password was sent", where=where, hint="Use imaps://.")
                with _told(where, "fails at STARTTLS"):
                    client.starttls(context)
            with _told(where, f"refuses the login of {user}"):
                if "AUTH=PLAIN" in client.capabilities:  # LOGIN knows no letters beyond ASCII
                    client.authenticate("PLAIN", lambda _: f"\0{user}\0{password}".encode())
                else:
                    client.login(user, password)
                offers = _ok(client.capability())  # some offer more after the login
            with _told(where, f"has no mailbox {mailbox!r} for us"):
                _ok(client.select(_quoted(mailbox)))
            yield cls(client, where, move_to, any(b"MOVE" in bytes(line).upper().split() for line in offers))
        finally:
            with contextlib.suppress(OSError, imaplib.IMAP4.error):
                client.logout()
            with contextlib.suppress(OSError):  # which leaves the socket open where the server was gone
                client.shutdown()

    def arrivals(self) -> Iterator[Arrival]:
        """See `delivery.ports.Inbox`."""
        with _told(self.where, "can't be searched"):
            found = _ok(self.client.uid("SEARCH", "UNSEEN", "UNDELETED"))
        for uid in (found[0] or b"").split():
            name = uid.decode("ascii", "replace")
            with _told(self.where, f"can't give us message {name}"):
                answer = _ok(self.client.uid("FETCH", name, f"(BODY.PEEK[]<0.{LONGEST}>)"))
            raw = next((part[1] for part in answer if isinstance(part, tuple)), None)
            if isinstance(raw, bytes):  # else it is gone meanwhile
                yield Arrival(name=name, raw=raw[:LONGEST])

    def put_away(self, arrivals: Sequence[Arrival]) -> None:
        """See `delivery.ports.Inbox`."""
        names = [arrival.name for arrival in arrivals]
        for at in range(0, len(names), _CHUNK):
            uids = ",".join(names[at : at + _CHUNK])
            with _told(self.where, "does not let us put messages away"):
                _ok(self.client.uid("STORE", uids, "+FLAGS.SILENT", r"(\Seen)"))
                if self.move_to is not None:
                    self._move(uids, _quoted(self.move_to))

    def _move(self, uids: str, target: str) -> None:
        """MOVE, or what it stands for on a server of another age (RFC 6851 §3.3)."""
        if self.moves:
            _ok(self.client.uid("MOVE", uids, target))
            return
        _ok(self.client.uid("COPY", uids, target))
        _ok(self.client.uid("STORE", uids, "+FLAGS.SILENT", r"(\Deleted)"))


def _ok(answer: tuple[str, list[Any]]) -> list[Any]:
    kind, data = answer
    if kind != "OK":
        said = data[0] if data and isinstance(data[0], bytes) else b"no reason given"
        raise imaplib.IMAP4.error(said.decode("utf-8", "replace"))
    return data


def _quoted(name: str) -> str:
    """A mailbox's name as a quoted string (RFC 3501 §4.3), in modified UTF-7 where it is not ASCII (§5.1.3)."""
    if not name.isprintable():
        raise SettingsError(f"{name!r} is no mailbox", where="bounces", hint="Want a name as in INBOX/Bounces.")
    encoded = "".join(
        piece if ascii_ else _utf7(piece) for ascii_, piece in _runs(name.replace("&", "\0"))
    ).replace("\0", "&-")
    escaped = encoded.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _runs(text: str) -> Iterator[tuple[bool, str]]:
    start = 0
    for at in range(1, len(text) + 1):
        if at == len(text) or text[at].isascii() != text[start].isascii():
            yield text[start].isascii(), text[start:at]
            start = at


def _utf7(text: str) -> str:
    return f"&{b64encode(text.encode('utf-16-be')).decode('ascii').rstrip('=').replace('/', ',')}-"


@contextlib.contextmanager
def _told(where: str, what: str) -> Iterator[None]:
    """What the server or the network says becomes one sentence; it never holds the password."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise DeliveryError(
            f"shows a certificate that is not trusted ({error.verify_message})", where=where,
            hint="Name the host as its certificate does, or add ?cafile=FILE for an authority of your own.",
        ) from None
    except UnicodeEncodeError:
        raise DeliveryError(
            f"{what} (its LOGIN takes ASCII alone)", where=where, hint="Use a server that offers AUTH=PLAIN."
        ) from None
    except OSError as error:  # also TimeoutError, ssl.SSLError
        said = "no answer in time" if isinstance(error, TimeoutError) else error.strerror or str(error)
        raise DeliveryError(f"{what} ({said})", where=where, hint="Nothing is lost: run it again.") from None
    except imaplib.IMAP4.error as error:
        said = " ".join(str(error).removeprefix("b'").removesuffix("'").split())[:300]
        raise DeliveryError(f"{what} ({said})", where=where, hint="Check user, password and mailbox.") from None
