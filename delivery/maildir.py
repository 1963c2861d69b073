"""Handing over to a folder: each message becomes one .eml file, whole or not at all (a Maildir: tmp, new, cur).

Source: https://cr.yp.to/proto/maildir.html; the file's name comes from the Message-ID, so a re-run can't make two.
"""

import contextlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from delivery.ports import ConnectError, Session
from milepost.records import Reply

_MESSAGE_ID = re.compile(rb"^message-id: *<([^<>\r\n]+)>\r$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class MaildirTransport:
    """A folder that stands for a relay: for trying things out, for reading before sending, for another program."""

    folder: Path

    @property
    def where(self) -> str:
        return f"maildir {self.folder}"

    def open(self) -> Session:
        """Make the folder where it is missing; raises ConnectError when that can't be done."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # what mails say is for their owner alone
            for name in ("tmp", "new", "cur"):
                (self.folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            text = error.strerror or str(error)
            raise ConnectError(
                f"the folder {self.folder} can't be used ({text})", where="mail.url", retryable=False,
                reply=Reply(code=None, text=text, phase="connect"), hint="Check its owner and mode, or name another.",
            ) from None
        return MaildirSession(self.folder)


class MaildirSession:
    """Takes one message after another; what it answers looks like SMTP, so that one table reads both."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def alive(self) -> bool:
        return True

    def mail(self, sender: str) -> Reply:
        return Reply(code=250, enhanced="2.1.0", text=f"2.1.0 sender {sender} noted", phase="mail")

    def rcpt(self, address: str) -> Reply:
        return Reply(code=250, enhanced="2.1.5", text=f"2.1.5 recipient {address} noted", phase="rcpt")

    def data(self, message: bytes) -> Reply:
        """Write, fsync, rename, fsync the folder; a full disk is a 452, so the delivery waits."""
        match = _MESSAGE_ID.search(message.partition(b"\r\n\r\n")[0] + b"\r\n")
        if match is None:
            return Reply(code=554, enhanced="5.6.0", text="5.6.0 the message has no Message-ID", phase="dot")
        name = _file_name(match.group(1))
        try:
            # A reader moves what it has seen to cur/, and adds flags to its name.
            if (self._folder / "new" / name).exists() or any((self._folder / "cur").glob(f"{name}*")):
                return Reply(code=250, enhanced="2.0.0", text=f"2.0.0 queued as {name} (it was there)", phase="dot")
            self._write(name, message)
        except OSError as error:
            return Reply(code=452, enhanced="4.3.1", text=f"4.3.1 {error.strerror or error}", phase="dot")
        return Reply(code=250, enhanced="2.0.0", text=f"2.0.0 queued as {name}", phase="dot")

    def reset(self) -> None:
        """There is nothing to forget."""

    def quit(self) -> None:
        """There is nothing to close."""

    def _write(self, name: str, message: bytes) -> None:
        draft = self._folder / "tmp" / f"{name}.{os.getpid()}"
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                if stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # of a process that died and had our number
                    os.fchmod(file.fileno(), 0o600)
                file.write(message)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(self._folder / "new" / name)
        except OSError:
            with contextlib.suppress(OSError):
                draft.unlink()
            raise
        folder = os.open(self._folder / "new", os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _file_name(message_id: bytes) -> str:
    """A file name out of a Message-ID: letters, digits, dot, dash and @, and never a path."""
    name = re.sub(r"[^A-Za-z0-9.@-]", "_", message_id.decode("ascii", "replace"))
    return f"{name[:200].lstrip('.')}.eml"
