"""Where bounces arrive: a Maildir, an mbox file or an IMAP mailbox, read message by message and put away afterwards.

    maildir:///FOLDER   mbox:///FILE   imaps://USER@HOST[:993]/INBOX   imap://USER@HOST[:143]/INBOX (STARTTLS)
    ?cafile=FILE (an authority of your own)      ?move=FOLDER (IMAP: where what was read goes, else marked as seen)

A message is put away only once its effect is committed: killed in between, the next run reads it again, and nothing
happens twice. What is no bounce stays as it was, for a person to read. An mbox is never written to.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from delivery.bounces.imap import ImapInbox
from delivery.bounces.reports import LONGEST
from delivery.ports import Arrival, Inbox
from milepost.errors import DeliveryError, SettingsError

_FORMS = "Want maildir:///FOLDER, mbox:///FILE or imaps://USER@HOST/INBOX."
_LINE = 64 * 1024  # octets of a line worth reading at once


def from_url(
    url: str, *, password: str | None = None, timeout: float = 60.0, folder: Path = Path()
) -> AbstractContextManager[Inbox]:
    """The inbox that `url` names; entering it connects. Raises SettingsError, never showing the password.

    `folder`: where a relative Maildir or mbox starts. `timeout`: seconds for each answer of an IMAP server.
    """
    scheme = url.partition(":")[0].lower()
    if scheme in ("maildir", "mbox"):
        path = folder / _path(url, scheme)
        return contextlib.nullcontext(MaildirInbox(path) if scheme == "maildir" else MboxInbox(path))
    if scheme not in ("imap", "imaps"):
        raise _wrong(f"{scheme[:20]!r} is no place that bounces can be read from")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _wrong(f"it is not an address ({error})") from None
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not host or not parts.username or port == 0 or parts.fragment or set(options) - {"cafile", "move"}:
        raise _wrong("a user or a host is missing, or there is an option that is none")
    secret = unquote(parts.password) if parts.password else password
    if not secret:
        raise SettingsError(
            f"there is no password for {parts.username} at {host}", where="bounces",
            hint="Set MILEPOST_BOUNCES__PASSWORD in the environment.",
        )
    return ImapInbox.opened(
        host=host, port=port or (993 if scheme == "imaps" else 143), user=unquote(parts.username), password=secret,
        mailbox=unquote(parts.path.strip("/")) or "INBOX", implicit_tls=scheme == "imaps",
        cafile=options.get("cafile"), move_to=options.get("move"), timeout=timeout,
    )


def _path(url: str, scheme: str) -> str:
    rest = url[len(scheme) + 1 :]
    name = unquote(rest.removeprefix("///"))
    if not rest.startswith("///") or not name or "\0" in name:
        raise _wrong(f"{scheme} wants three slashes and a name")
    return name


def _wrong(what: str) -> SettingsError:
    return SettingsError(what, where="bounces", hint=_FORMS)


@dataclass(frozen=True, slots=True)
class MaildirInbox:
    """What is in new/, and in cur/ without the flag S (seen); put away means moved to cur/ and seen."""

    folder: Path

    def arrivals(self) -> Iterator[Arrival]:
        """See `delivery.ports.Inbox`; in the order of names, which is the order of arrival."""
        names = []
        for part in ("new", "cur"):
            with _readable(self.folder):
                listed = sorted(os.listdir(self.folder / part))  # noqa: PTH208 (names, and a million of them)
            names += [f"{part}/{name}" for name in listed if not name.startswith(".") and not _seen(name)]
        for name in names:
            path = self.folder / name
            try:
                if not path.is_file() or path.is_symlink():
                    continue
                with path.open("rb") as file:
                    raw = file.read(LONGEST)
            except FileNotFoundError:  # somebody else took it
                continue
            except OSError as error:
                raise _unreadable(path, error) from None
            yield Arrival(name=name, raw=raw)

    def put_away(self, arrivals: Sequence[Arrival]) -> None:
        """See `delivery.ports.Inbox`."""
        for arrival in arrivals:
            base, _, flags = arrival.name.partition("/")[2].partition(":2,")
            target = self.folder / "cur" / f"{base}:2,{''.join(sorted({*flags, 'S'}))}"
            with _readable(self.folder), contextlib.suppress(FileNotFoundError):
                (self.folder / arrival.name).rename(target)


def _seen(name: str) -> bool:
    return "S" in name.partition(":2,")[2]


@dataclass(frozen=True, slots=True)
class MboxInbox:
    """A file of messages, each after a line that begins with "From "; only read, since its owner may be writing."""

    file: Path

    def arrivals(self) -> Iterator[Arrival]:
        """See `delivery.ports.Inbox`; never holds more than one message."""
        with _readable(self.file), self.file.open("rb") as file:
            kept: list[bytes] | None = None  # None before the first "From " line
            size = number = 0
            blank = start = True  # a "From " line stands after a blank one, or first; lines may come in pieces
            while line := file.readline(_LINE):
                if start and blank and line.startswith(b"From "):
                    if kept is not None:
                        yield Arrival(name=str(number), raw=b"".join(kept)[:LONGEST])
                    kept, size, number = [], 0, number + 1
                elif kept is not None and size < LONGEST:
                    kept.append(line[1:] if start and line.startswith(b">From ") else line)
                    size += len(kept[-1])
                blank = start and line in (b"\n", b"\r\n")
                start = line.endswith(b"\n")
            if kept is not None:
                yield Arrival(name=str(number), raw=b"".join(kept)[:LONGEST])
            elif file.tell():
                raise DeliveryError("is no mbox: it does not begin with a From line", where=str(self.file))

    def put_away(self, arrivals: Sequence[Arrival]) -> None:
        """The ledger knows what it has read: see `store.ledger.ledger.bounces`."""


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> DeliveryError:
    return DeliveryError(
        f"can't be read ({error.strerror or error})", where=str(path), hint="Check the path, its owner and mode."
    )
