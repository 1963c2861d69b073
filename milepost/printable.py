"""Makes what came from outside safe to show: what steers a terminal or turns the text around it becomes visible."""

import logging
import re

# Never seen by a reader, or able to turn the text around it: controls (white space excepted), surrogates, zero-width
# signs (joiners excepted: scripts and emoji need them), the bidi signs of UAX #9, interlinear notes, noncharacters.
UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)
_BREAKS = re.compile("[\t-\r\x85\u2028\u2029]+")
_MAILBOX = re.compile(r"""[^\s<>"'(),;:/@]+@[^\s<>"'(),;:/@]+""")  # wider than any standard: rather one word too many
_IN_JSON = re.compile(f"{UNSEEN.pattern}|[\x85\u2028\u2029]")  # what json.dumps leaves as it is; the rest it spells out


def printable(text: str) -> str:
    """`text` in one line, what nobody would see spelled out: an escape sign becomes the four characters `\\x1b`."""
    if text.isprintable():
        return text
    return UNSEEN.sub(_spelled, _BREAKS.sub(" ", text))


MASKED = "(address)"  # in place of a mail address


def without_addresses(text: str, given: str = "") -> str:
    """`text` with "(address)" for each mail address, for what is kept where readers' addresses don't belong.

    `given`: what somebody typed for one, whatever it looks like, becomes "the address".
    """
    if typed := given.strip():
        text = re.sub(re.escape(typed), "the address", text, flags=re.IGNORECASE)
    return _MAILBOX.sub(MASKED, text) if "@" in text else text


def printable_json(line: str) -> str:
    """The same for a JSON text, which stays the same JSON: such signs can stand in its strings only."""
    return _IN_JSON.sub(lambda sign: "".join(f"\\u{unit:04x}" for unit in _units(sign[0])), line)


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: "1 delivery", "1,234 deliveries"; `many`: the noun with an s where nothing is given."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def _spelled(sign: re.Match[str]) -> str:
    return sign[0].encode("unicode_escape").decode("ascii")


def _units(sign: str) -> list[int]:
    pair = sign.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(pair[at : at + 2], "big") for at in range(0, len(pair), 2)]


class PrintableFilter(logging.Filter):
    """Put on a handler: what a log line quotes is made printable."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the line; every line passes."""
        record.msg, record.args = printable(record.getMessage()), ()
        return True
