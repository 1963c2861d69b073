"""Proof of work: a browser calculates for a second or so before it may sign somebody up (ALTCHA, its first protocol).

    GET /subscribe/challenge ─▶ signed challenge ─▶ the browser finds its number ─▶ field `altcha` ─▶ checked ─▶ Proof

Nothing is kept of a challenge until a right answer to it is used (`store/subscribers/sign_ups.py`), which it is once.
https://altcha.org/docs/v1/proof-of-work
"""

import base64
import datetime as dt
import json
from typing import Any, Literal

from altcha.v1 import ChallengeOptions, Payload, create_challenge, verify_solution

from delivery.message.tokens import keyed_hash
from pipeline.sign_up import Proof

FIELD = "altcha"
PATH = "/subscribe/challenge"
LASTS = dt.timedelta(minutes=20)  # from a challenge to the form
HARDEST = 60_000  # hashes at most, half of them on average
_ALGORITHM: Literal["SHA-256"] = "SHA-256"
_PURPOSE = b"milepost proof of work 1\0"
_LONGEST = 2000  # characters of an answer; ours have about 400
Unproved = Literal["no_proof", "wrong_proof", "old_proof"]


class ProofOfWork:
    """Makes challenges and checks their answers, with a key of its own derived from `key`."""

    def __init__(self, key: str | bytes) -> None:
        self._key = keyed_hash(key, _PURPOSE, "")

    def challenge(self, now: dt.datetime) -> dict[str, str | int]:
        """One nobody had before, in JSON's types, as ALTCHA's own programs read it."""
        made = create_challenge(ChallengeOptions(
            algorithm=_ALGORITHM, max_number=HARDEST, hmac_key=self._key, expires=now + LASTS
        ))
        return {
            "algorithm": made.algorithm, "challenge": made.challenge, "salt": made.salt, "signature": made.signature,
            "maxnumber": HARDEST, "maxNumber": HARDEST,  # its programs differ in the name
        }

    def check(self, answer: str, now: dt.datetime) -> Proof | Unproved:
        """What an answer proves: base64 of a JSON object. Raises nothing, whatever it is."""
        if not answer:
            return "no_proof"
        payload = _parsed(answer)
        # The library looks at the clock itself; `now` decides here.
        if payload is None or not verify_solution(payload, self._key, check_expires=False)[0]:
            return "wrong_proof"
        _, expires, _ = payload.parse_salt()  # signed, so it is ours
        if expires is None:
            return "wrong_proof"
        expires_at = dt.datetime.fromtimestamp(expires, dt.UTC)
        return Proof(challenge=payload.challenge, expires_at=expires_at) if now < expires_at else "old_proof"


def _parsed(answer: str) -> Payload | None:
    if len(answer) > _LONGEST:
        return None
    try:
        said: Any = json.loads(base64.b64decode(answer, validate=True))
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or said.get("algorithm") != _ALGORITHM:
        return None
    number, named = said.get("number"), (said.get(name) for name in ("challenge", "salt", "signature"))
    texts = [text for text in named if isinstance(text, str) and text.isascii()]
    if type(number) is not int or len(texts) != 3:
        return None
    challenge, salt, signature = texts
    return Payload(algorithm=_ALGORITHM, challenge=challenge, number=number, salt=salt, signature=signature)
