"""E-mail addresses: which we take, what makes two of them one person, and their keyed hash."""

import re
from dataclasses import dataclass
from functools import lru_cache

from email_validator import EmailNotValidError, validate_email
from email_validator.rfc_constants import CASE_INSENSITIVE_MAILBOX_NAMES

from milepost.errors import InputError
from milepost.keyed import keyed_hash

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"  # RFC 5322 §3.2.3
_PLAIN = re.compile(rf"(?=.{{1,64}}\Z){_ATOM}(?:\.{_ATOM})*")
_LONGEST = 254  # characters (RFC 5321 §4.5.3.1.3, without the brackets)


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """An address in ASCII, ready for SMTP without SMTPUTF8."""

    address: str  # the local part as written, the domain in lower case and punycode
    normalized: str  # all lower case: what makes it one person


def parse(text: str) -> Address:
    """Read one address; raises InputError, saying why, for whatever is none (RFC 5321 §4.1.2, without its quotes).

    An international domain becomes ASCII (RFC 5891); a local part that is not ASCII is refused: it needs SMTPUTF8
    (RFC 6531) on every relay on the way.
    """
    bare = text.strip(" \t")
    local, _, domain = bare.rpartition("@")
    if _PLAIN.fullmatch(local) and len(bare) <= _LONGEST and local.lower() not in CASE_INSENSITIVE_MAILBOX_NAMES:
        # As nearly all are: of a long list each domain is looked at once.
        known = _ascii_domain(domain)
        if known is not None:
            plain = f"{local}@{known}"
            return Address(address=plain, normalized=normalize(plain))
    shown = text if len(text) <= 80 else f"{text[:77]}…"
    try:
        # Control characters inside would be fatal in a header; around it they are a sign of a forged form.
        found = validate_email(bare, check_deliverability=False, allow_smtputf8=False, strict=True)
    except EmailNotValidError as error:
        raise InputError(f"not an e-mail address we can send to: {error}", where=repr(shown)) from None
    address = found.ascii_email
    if address is None:
        raise InputError("not an e-mail address we can send to: it has no ASCII form", where=repr(shown))
    return Address(address=address, normalized=normalize(address))


@lru_cache(maxsize=10_000)
def _ascii_domain(domain: str) -> str | None:
    """An ASCII domain as addresses have it; None for one that is international, or none at all. Pure."""
    if not domain.isascii():
        return None
    try:
        return validate_email(f"a@{domain}", check_deliverability=False, allow_smtputf8=False, strict=True).ascii_domain
    except EmailNotValidError:
        return None


def normalize(address: str) -> str:
    """What makes two addresses one person: many hosts tell no case apart, and none gives two people one but for it."""
    return address.casefold()


def address_hash(key: bytes, normalized: str) -> str:
    """HMAC-SHA256 (RFC 2104) of a normalized address, in hex: tells nobody without the key who it is."""
    return keyed_hash(key, normalized.encode("utf-8")).hex()
