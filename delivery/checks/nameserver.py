"""Asking the DNS, through dnspython: what is published, [] where nothing is, one clear error where nobody answers."""

import dns.exception
import dns.resolver
import dns.reversename

from delivery.ports import LookupFailedError, RecordKind


class DnsResolver:
    """See `delivery.ports.Resolver`; remembers what it was told."""

    def __init__(self, *, server: str | None = None, port: int = 53, seconds: float = 5.0) -> None:
        """`server`: the address of one to ask, else those that this machine asks. `seconds`: for each question."""
        self._server, self._port, self._seconds = server, port, seconds
        self._resolver: dns.resolver.Resolver | None = None
        self._known: dict[tuple[str, RecordKind], list[str]] = {}

    def lookup(self, name: str, kind: RecordKind) -> list[str]:
        """See `delivery.ports.Resolver`."""
        if (name, kind) not in self._known:
            self._known[name, kind] = self._ask(name, kind)
        return self._known[name, kind]

    def _ask(self, name: str, kind: RecordKind) -> list[str]:
        try:
            asked = dns.reversename.from_address(name) if kind == "PTR" else name
            answer = self._open().resolve(asked, kind, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except dns.exception.Timeout:
            raise LookupFailedError("no name server answers in time", where=f"{name} {kind}") from None
        except (dns.exception.DNSException, OSError, UnicodeError) as error:
            said = " ".join(str(error).split())[:200] or type(error).__name__
            raise LookupFailedError(f"the DNS can't be asked ({said})", where=f"{name} {kind}") from None
        if kind == "TXT":
            return [b"".join(record.strings).decode("utf-8", "replace") for record in answer]
        texts = (record.to_text() for record in answer)
        return sorted(text if text.endswith(" .") else text.rstrip(".") for text in texts)  # "0 .": RFC 7505

    def _open(self) -> dns.resolver.Resolver:
        if self._resolver is None:
            self._resolver = dns.resolver.Resolver(configure=self._server is None)
            if self._server is not None:
                self._resolver.nameservers = [self._server]
                self._resolver.port = self._port
            self._resolver.lifetime = self._seconds
        return self._resolver
