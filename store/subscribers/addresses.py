"""E-mail addresses: which we take, what makes two of them one person, and their keyed hash."""

from dataclasses import dataclass

from email_validator import EmailNotValidError, validate_email

from milepost.errors import InputError
from milepost.keyed import keyed_hash


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
    shown = text if len(text) <= 80 else f"{text[:77]}…"
    try:
        # Control characters inside would be fatal in a header; around it they are a sign of a forged form.
        found = validate_email(text.strip(" \t"), check_deliverability=False, allow_smtputf8=False, strict=True)
    except EmailNotValidError as error:
        raise InputError(f"not an e-mail address we can send to: {error}", where=repr(shown)) from None
    address = found.ascii_email
    if address is None:
        raise InputError("not an e-mail address we can send to: it has no ASCII form", where=repr(shown))
    return Address(address=address, normalized=normalize(address))


def normalize(address: str) -> str:
    """What makes two addresses one person: many hosts tell no case apart, and none gives two people one but for it."""
    return address.casefold()


def address_hash(key: bytes, normalized: str) -> str:
    """HMAC-SHA256 (RFC 2104) of a normalized address, in hex: tells nobody without the key who it is."""
    return keyed_hash(key, normalized.encode("utf-8")).hex()
