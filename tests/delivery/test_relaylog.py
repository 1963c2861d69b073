"""What a Postfix log proves, and what it does not; the first log was written by a real Postfix 3.7 and then renamed."""

import datetime as dt
import gzip
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.bounces.relay_log import Evidence, Found, Sought, lines, moment, read, with_absent
from milepost.errors import InputError

NOW = dt.datetime(2026, 11, 23, 12, 0).astimezone()
BEGAN = dt.datetime(2026, 11, 23, 9, 28, 36).astimezone()

LOG = Path(__file__).with_name("postfix_maillog.txt").read_text(encoding="utf-8")

OUTCOMES = {
    "ok": "sent", "gone": "failed", "later": "sent",  # deferred: the relay has it
    "broken": "pending", "half": None,  # its connection is open as far as the log goes
    "first": "sent", "second": "pending", "absent": None,
}
SOUGHT = {
    f"<{name}@timeline.example>": Sought(address=f"{name}@r.example", since=BEGAN, attempts=1) for name in OUTCOMES
}


def found_in(text: str, sought: dict[str, Sought] = SOUGHT) -> Found:
    return read(text.splitlines(), sought, now=NOW)


def outcomes(found: Found) -> dict[str, str | None]:
    proofs = {name: found.evidence.get(f"<{name}@timeline.example>") for name in OUTCOMES}
    return {name: proof.outcome if proof else None for name, proof in proofs.items()}


def in_iso(text: str) -> str:
    """The same lines as a relay with high-precision timestamps and services of its own naming writes them."""
    zone = NOW.strftime("%z")
    text = re.sub(r"^Nov (\d+) (\S+)", rf"2026-11-\1T\2.123456{zone[:3]}:{zone[3:]}", text, flags=re.MULTILINE)
    return text.replace("postfix/smtpd", "postfix/submission/smtpd").replace("postfix/smtp[", "postfix-out/relay/smtp[")


@pytest.mark.parametrize("text", [LOG, in_iso(LOG)], ids=["syslog", "iso"])
def test_each_message_has_its_proof(text: str) -> None:
    found = found_in(text)
    assert outcomes(found) == OUTCOMES
    gone = found.evidence["<gone@timeline.example>"]
    assert gone.suppress == "bounce 5.1.1"
    assert "status=bounced (host mx.r.example" in gone.line
    assert "lost connection after DATA (54092 bytes)" in found.evidence["<broken@timeline.example>"].line
    assert found.first is not None
    assert found.first.strftime("%Y-%m-%d %H:%M:%S") == "2026-11-23 09:28:33"


def test_taken_is_taken_before_anything_became_of_it() -> None:
    text = "\n".join(line for line in LOG.splitlines() if "status=" not in line)
    proof = found_in(text).evidence["<ok@timeline.example>"]
    assert (proof.outcome, "(queue active)" in proof.line) == ("sent", True)


def test_its_name_in_the_log_alone_proves_nothing() -> None:
    text = "\n".join(line for line in LOG.splitlines() if "status=" not in line and "queue active" not in line)
    assert outcomes(found_in(text))["ok"] is None


def test_given_up_by_the_relay_is_failed_and_suppresses_nobody() -> None:
    text = LOG + (
        "Nov 23 11:28:38 relay postfix/qmgr[21553]: F19D122EB28: from=<b+2-abc@timeline.example>, status=expired, "
        "returned to sender\n"
    )
    proof = found_in(text).evidence["<later@timeline.example>"]
    assert (proof.outcome, proof.suppress) == ("failed", None)


def test_a_copy_for_the_archive_is_not_the_readers() -> None:
    bounced = (
        "Nov 23 09:28:37 relay postfix/smtp[1]: 258A022EB24: to=<archive@timeline.example>, dsn=5.1.1, "
        "status=bounced (no)\n"
    )
    text = LOG.replace("Nov 23 09:28:37 relay postfix/qmgr[21553]: 258A022EB24: removed\n", bounced)
    assert outcomes(found_in(text))["ok"] == "sent"


def test_an_address_that_the_relay_rewrote_still_counts() -> None:
    assert outcomes(found_in(LOG.replace("to=<gone@r.example>", "to=<inner@r.example>")))["gone"] == "failed"


def test_a_queue_id_that_is_used_again_is_another_message() -> None:
    """A short queue id comes back soon."""
    text = LOG + (
        "Nov 23 09:29:01 relay postfix/smtpd[30]: A5F4322E19F: client=unknown[192.0.2.1]\n"
        "Nov 23 09:29:01 relay postfix/cleanup[31]: A5F4322E19F: message-id=<stranger@elsewhere.example>\n"
        "Nov 23 09:29:01 relay postfix/qmgr[32]: A5F4322E19F: from=<x@y.example>, size=9, nrcpt=1 (queue active)\n"
    )
    assert outcomes(found_in(text))["half"] is None


def test_of_two_attempts_the_taken_one_counts() -> None:
    again = "\n".join(
        line.replace("59BFB22E193", "6AAAA22E193").replace("[21611]", "[99]") for line in LOG.splitlines()
        if "59BFB22E193" in line
    )
    taken = "Nov 23 09:40:00 relay postfix/qmgr[21553]: 6AAAA22E193: from=<b@t.example>, nrcpt=1 (queue active)"
    assert outcomes(found_in(f"{LOG}{again}\n{taken}\n"))["broken"] == "sent"
    assert outcomes(found_in(f"{LOG}{again}\n"))["broken"] is None  # the second one got further, who knows how far


@pytest.mark.parametrize(("since", "expected"), [(-60, "pending"), (60, None)], ids=["this attempt", "an earlier one"])
def test_an_earlier_attempts_broken_connection_says_nothing_of_the_last(since: int, expected: str | None) -> None:
    at = dt.datetime(2026, 11, 23, 9, 28, 38).astimezone() + dt.timedelta(seconds=since)
    sought = SOUGHT | {"<broken@timeline.example>": Sought(address="broken@r.example", since=at, attempts=2)}
    assert outcomes(found_in(LOG, sought))["broken"] == expected


# --- what is absent -------------------------------------------------------------------------------------------------


def test_absence_is_proof_only_by_an_operators_word() -> None:
    found = with_absent(found_in(LOG), SOUGHT, where="mail.log")
    assert outcomes(found) == OUTCOMES | {"absent": "pending"}
    assert "which an operator called complete" in found.evidence["<absent@timeline.example>"].line


@pytest.mark.parametrize(
    ("hours", "sentence"), [(-1, "begins at .*, after the first"), (2, "ends at .*, before the last")]
)
def test_a_log_that_can_not_be_complete_is_told(hours: int, sentence: str) -> None:
    sought = {
        name: Sought(address=one.address, since=BEGAN + dt.timedelta(hours=hours), attempts=1)
        for name, one in SOUGHT.items()
    }
    with pytest.raises(InputError, match=sentence):
        with_absent(found_in(LOG, sought), sought, where="mail.log")


def test_something_that_is_no_log_is_told() -> None:
    with pytest.raises(InputError, match="holds no line of a log"):
        with_absent(found_in("hello\n"), SOUGHT, where="mail.log")


# --- files ----------------------------------------------------------------------------------------------------------


def test_rotated_and_gzipped_files_in_any_order(tmp_path: Path) -> None:
    whole = LOG.splitlines(keepends=True)
    old, new = tmp_path / "mail.log.1.gz", tmp_path / "mail.log"
    old.write_bytes(gzip.compress("".join(whole[:30]).encode()))
    new.write_text("".join(whole[30:]))
    for files in ([old, new], [new, old]):
        assert outcomes(read(lines(files, now=NOW), SOUGHT, now=NOW)) == OUTCOMES


@pytest.mark.parametrize("raw", [b"\x1f\x8bnot gzip", gzip.compress(LOG.encode())[:-30]], ids=["broken", "cut"])
def test_a_file_that_can_not_be_read_is_told(tmp_path: Path, raw: bytes) -> None:
    file = tmp_path / "mail.log.gz"
    file.write_bytes(raw)
    with pytest.raises(InputError, match=r"mail\.log\.gz: can't be read"):
        list(lines([file], now=NOW))
    with pytest.raises(InputError, match="No such file"):
        list(lines([tmp_path / "nowhere"], now=NOW))


def test_last_years_december_is_last_years() -> None:
    new_year = dt.datetime(2027, 1, 2).astimezone()
    at = moment("Dec 31 23:59:59 relay postfix/qmgr[1]: x", new_year)
    assert at is not None
    assert (at.year, at.month) == (2026, 12)
    assert moment("Foo 99 99:99:99 relay", new_year) is None
    assert moment("2026-13-45T00:00:00 relay", new_year) is None


@given(st.lists(st.one_of(st.text(max_size=80), st.sampled_from(LOG.splitlines())), max_size=40))
def test_lines_out_of_order_prove_nothing_wrong(chosen: list[str]) -> None:
    """Whatever is missing or out of place: no outcome without the line that proves it."""
    for name, proof in read(chosen, SOUGHT, now=NOW).evidence.items():
        assert isinstance(proof, Evidence)
        if proof.outcome == "pending":
            assert "after DATA" in proof.line
        else:
            assert "queue active" in proof.line or "status=" in proof.line
        assert name in SOUGHT


BOUNCED = [
    ("5.1.1", "550 5.1.1 <r@readers.example>: no such user", "bounce 5.1.1"), ("5.1.1", "552 5.2.2 over quota", None),
    ("5.1.1", "550 5.7.1 your IP is on our list", None),
    ("5.0.0", "550 no such user (in reply to RCPT TO command)", "bounce 5.0.0"),
    ("5.0.0", "550 no such user (in reply to end of DATA command)", None), ("4.4.1", "550 no such user", None),
]


@pytest.mark.parametrize(("dsn", "said", "suppress"), BOUNCED, ids=[f"{dsn} {said}" for dsn, said, _ in BOUNCED])
def test_the_remote_hosts_words_in_the_log_count_as_in_a_report(dsn: str, said: str, suppress: str | None) -> None:
    log = [
        "Nov 23 09:28:37 relay postfix/cleanup[7]: 4XkPqW1z: message-id=<m@x.example>",
        (f"Nov 23 09:28:38 relay postfix/smtp[8]: 4XkPqW1z: to=<r@readers.example>, dsn={dsn}, "
        f"status=bounced (host mx.readers.example[192.0.2.9] said: {said})"),
    ]
    now = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
    sought = {"<m@x.example>": Sought(address="r@readers.example", since=now, attempts=1)}
    assert read(log, sought, now=now).evidence["<m@x.example>"].suppress == suppress
