"""DKIM signatures: rsa-sha256 or ed25519-sha256, relaxed/relaxed, over the headers that mailbox providers ask for.

    message bytes ─▶ Signer.sign ─▶ DKIM-Signature + the same bytes

No time goes into a signature: a retry gives the same bytes. Sources: RFC 6376 (§3.4 forms, §3.5 tags, §3.7 hashes),
RFC 8301 (no SHA-1, RSA of 2048 bits), RFC 8463 (Ed25519), RFC 8058 §4 (both List-Unsubscribe headers are signed).
"""

import base64
import hashlib
import re
from dataclasses import dataclass, field
from typing import Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from milepost.errors import RenderError, SettingsError

PrivateKey = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

# Each once, as often as it occurs: no header of ours is absent and then added by a friendly list.
SIGNED = (
    "from", "to", "subject", "date", "message-id", "mime-version", "content-type", "list-id", "list-unsubscribe",
    "list-unsubscribe-post", "reply-to", "list-archive", "feedback-id", "auto-submitted",
)
_DOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+", re.ASCII)
_SELECTOR = re.compile(r"[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?)*", re.ASCII)
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:((?:[^\r\n]|\r\n[ \t])*)\r\n")
_GAPS = re.compile(rb"[ \t]+")
_LINE_END_GAPS = re.compile(rb"[ \t]+(?=\r\n)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Signer:
    """Signs for one domain with one key. Build it with `from_pem`; it may be shared between threads."""

    domain: str  # d=
    selector: str  # s=
    key: PrivateKey = field(repr=False)

    @classmethod
    def from_pem(cls, pem: str | bytes, *, domain: str, selector: str, sender: str | None = None) -> Self:
        """From a private key in PEM (PKCS#8 or PKCS#1, without a passphrase): RSA of at least 2048 bits, or Ed25519.

        `sender`: the address in From, when the domain is to be checked against it (RFC 7489 §3.1.1, alignment).
        Raises SettingsError; never shows the key.
        """
        domain, selector = domain.lower(), selector.lower()
        if not _DOMAIN.fullmatch(domain):
            raise SettingsError(f"{domain[:80]!r} is no domain to sign for", where="DKIM", hint="Want: example.org.")
        if not _SELECTOR.fullmatch(selector):
            raise SettingsError(f"{selector[:80]!r} is no selector", where="DKIM", hint="Want a label such as s2026.")
        if sender is not None and not _aligned(domain, sender.rpartition("@")[2].lower()):
            raise SettingsError(
                f"a signature of {domain} says nothing about mail from {sender}", where="DKIM",
                hint="Sign for the domain of the sender, or one above or below it.",
            )
        raw = pem.encode("utf-8") if isinstance(pem, str) else pem
        try:
            key = serialization.load_pem_private_key(raw, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise SettingsError(
                "the key can't be read", where="DKIM", hint="Want a private key in PEM, without a passphrase."
            ) from None
        if isinstance(key, rsa.RSAPrivateKey):
            if key.key_size < 2048:
                raise SettingsError(f"an RSA key of {key.key_size} bits is too short", where="DKIM", hint="Want 2048.")
        elif not isinstance(key, ed25519.Ed25519PrivateKey):
            raise SettingsError("the key is neither RSA nor Ed25519", where="DKIM", hint="Make one of those.")
        return cls(domain=domain, selector=selector, key=key)

    @property
    def algorithm(self) -> str:
        return "rsa-sha256" if isinstance(self.key, rsa.RSAPrivateKey) else "ed25519-sha256"

    @property
    def record_name(self) -> str:
        """Where the public key belongs in the DNS."""
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def record(self) -> str:
        """The TXT record with the public key (RFC 6376 §3.6.1, RFC 8463 §4)."""
        public = self.key.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            kind = "rsa"
            raw = public.public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        else:
            kind = "ed25519"
            raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return f"v=DKIM1; k={kind}; p={_b64(raw)}"

    def sign(self, message: bytes) -> bytes:
        """`message` (CRLF lines) with a DKIM-Signature in front; raises RenderError when it has no From of its own."""
        head, _, body = message.partition(b"\r\n\r\n")
        fields = {name.lower(): value for name, value in _FIELD.findall(head + b"\r\n")}
        names = [name for name in SIGNED if name.encode("ascii") in fields]
        if "from" not in names:
            raise RenderError("a message without From can't be signed")
        start = (
            f"v=1; a={self.algorithm}; c=relaxed/relaxed;\r\n d={self.domain};\r\n s={self.selector};\r\n"
            f" h={_folded_names(names)};\r\n"
            f" bh={_b64(hashlib.sha256(relaxed_body(body)).digest())};\r\n"
            f" b="
        )
        signed = b"".join(
            relaxed_header(name.encode("ascii"), fields[name.encode("ascii")]) + b"\r\n" for name in names
        ) + relaxed_header(b"dkim-signature", start.encode("ascii"))
        value = _b64(self._signature(signed))
        folded = "\r\n ".join([value[:70], *(value[at : at + 74] for at in range(70, len(value), 74))])
        return f"DKIM-Signature: {start}{folded}\r\n".encode("ascii") + message

    def _signature(self, signed: bytes) -> bytes:
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        return self.key.sign(hashlib.sha256(signed).digest())  # RFC 8463 §3: of the hash, not of the text


def relaxed_header(name: bytes, value: bytes) -> bytes:
    """The relaxed form of one header, without a line end (RFC 6376 §3.4.2); `name` in lower case."""
    return name + b":" + _GAPS.sub(b" ", value.replace(b"\r\n", b"")).strip(b" ")


def relaxed_body(body: bytes) -> bytes:
    """The relaxed form of a body (RFC 6376 §3.4.4)."""
    if not body.endswith(b"\r\n"):
        body += b"\r\n"
    if b"  " in body or b"\t" in body or b" \r\n" in body:
        body = _GAPS.sub(b" ", _LINE_END_GAPS.sub(b"", body))
    end = len(body)
    while body.endswith(b"\r\n", 0, end):
        end -= 2
    return body[: end + 2] if end else b""


def _aligned(domain: str, sender: str) -> bool:
    return sender == domain or sender.endswith(f".{domain}") or domain.endswith(f".{sender}")


def _folded_names(names: list[str]) -> str:
    """The names with colons, on lines of at most 74."""
    lines = [""]
    for name in names:
        if len(lines[-1]) + len(name) > 70:
            lines.append("")
        lines[-1] += f"{name}:"
    return "\r\n ".join(lines).removesuffix(":")


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
