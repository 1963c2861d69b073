"""A small IMAP server on loopback, with one mailbox that remembers flags, to read bounces from."""

import base64
import re
import socket
import ssl
import threading
from dataclasses import dataclass, field
from io import BufferedReader

PASSWORD = "pass word"


@dataclass
class Stored:
    uid: int
    raw: bytes
    flags: set[str] = field(default_factory=set)


class ImapServer:
    """Takes one connection after the other; `messages` is INBOX, `moved` what went to another folder."""

    def __init__(
        self, tls: ssl.SSLContext, *, implicit: bool = True, password: str = PASSWORD, offers: str = "MOVE",
        starttls: bool = True,
    ) -> None:
        self.tls, self.implicit, self.password, self.offers = tls, implicit, password, offers
        self.starttls = starttls
        self.messages: list[Stored] = []
        self.moved: dict[str, list[Stored]] = {}
        self.said: list[str] = []  # every command, without its tag
        self.refuse: set[str] = set()  # commands that are answered with NO
        self.drop_at: str | None = None  # the command at which the connection is cut
        self.under_tls = False
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def add(self, raw: bytes) -> Stored:
        self.messages.append(Stored(uid=len(self.messages) + 101, raw=raw))
        return self.messages[-1]

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            try:
                with connection:
                    self._talk(connection)
            except OSError:
                continue

    def _talk(self, connection: socket.socket) -> None:
        sock = self.tls.wrap_socket(connection, server_side=True) if self.implicit else connection
        self.under_tls = self.implicit
        sock.sendall(b"* OK ready\r\n")
        while True:
            with sock, sock.makefile("rb") as file:
                if not self._commands(sock, file):
                    return
                sock = self.tls.wrap_socket(sock, server_side=True)
                self.under_tls = True

    def _commands(self, sock: socket.socket, file: BufferedReader) -> bool:
        """Obey until the end; True: the client goes on under TLS."""
        while line := file.readline():
            tag, _, command = line.decode().strip().partition(" ")
            self.said.append(command)
            verb = command.upper().removeprefix("UID ").partition(" ")[0]
            if verb == self.drop_at:
                return False
            if verb == "STARTTLS":
                sock.sendall(f"{tag} OK go on\r\n".encode())
                return True
            if verb == "AUTHENTICATE":
                sock.sendall(b"+ \r\n")
                given = base64.b64decode(file.readline()).decode().split("\0")
                good = given[1:] == ["reader", self.password]
                sock.sendall(f"{tag} {'OK in' if good else 'NO [AUTHENTICATIONFAILED] who are you?'}\r\n".encode())
                continue
            answer = b"" if verb in self.refuse else self._answer(verb, command)
            end = "NO not allowed" if verb in self.refuse else "OK done"
            sock.sendall(answer + f"{tag} {end}\r\n".encode())
            if verb == "LOGOUT":
                return False
        return False

    def _answer(self, verb: str, command: str) -> bytes:
        match verb:
            case "CAPABILITY":
                extra = " STARTTLS" if self.starttls and not self.under_tls else ""
                return f"* CAPABILITY IMAP4rev1 AUTH=PLAIN {self.offers}{extra}\r\n".encode()
            case "SELECT":
                return f"* {len(self.messages)} EXISTS\r\n".encode()
            case "SEARCH":
                unseen = [str(one.uid) for one in self.messages if not one.flags & {"\\Seen", "\\Deleted"}]
                return f"* SEARCH {' '.join(unseen)}\r\n".encode()
            case "FETCH":
                return b"".join(self._fetched(one) for one in self._named(command))
            case "STORE":
                for one in self._named(command):
                    one.flags |= set(re.findall(r"\\\w+", command))
            case "MOVE" | "COPY":
                folder = command.rpartition(' "')[2].rstrip('"')
                found = self._named(command)
                self.moved.setdefault(folder, []).extend(found)
                if verb == "MOVE":
                    self.messages = [one for one in self.messages if one not in found]
            case "LOGOUT":
                return b"* BYE\r\n"
        return b""

    def _named(self, command: str) -> list[Stored]:
        uids = {int(uid) for uid in command.split()[2].split(",")}
        return [one for one in self.messages if one.uid in uids]

    @staticmethod
    def _fetched(one: Stored) -> bytes:
        return b"* 1 FETCH (UID %d BODY[]<0> {%d}\r\n%s)\r\n" % (one.uid, len(one.raw), one.raw)
