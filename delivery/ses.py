"""Amazon SES (API v2): the same verbs as SMTP, so that the ledger's commit fits before the request.

    mail, rcpt: noted ─▶ (commit) ─▶ data: one SendEmail request with the raw message ─▶ its MessageId is the queue id

A request is never repeated by the library: only the ledger may decide that. What the API answers is put into the words
of SMTP, so that one table reads it (`delivery.smtp.replies`). SES writes a Message-ID of its own over ours: its bounces
are known by their envelope sender alone, so set mail.bounce_domain to a domain that SES may send for.
Sources: the SES v2 API reference, SendEmail; botocore's exceptions (what is raised before and after a request is out).
"""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from delivery.ports import ConnectError, Session
from milepost.errors import SettingsError
from milepost.records import Reply

# Error code → (SMTP code, enhanced code): 4yz is deferred, 5.7.x and 535 pause the issue, the rest fails.
_ERRORS: dict[str, tuple[int, str]] = {
    "TooManyRequestsException": (451, "4.3.2"),
    "ThrottlingException": (451, "4.3.2"),
    "Throttling": (451, "4.3.2"),
    "LimitExceededException": (452, "4.3.2"),  # the day's quota
    "ServiceUnavailable": (451, "4.3.0"),
    "SlowDown": (451, "4.3.2"),
    "ConcurrentModificationException": (451, "4.3.0"),
    "MessageRejected": (554, "5.6.0"),
    "AccountSuspendedException": (550, "5.7.1"),
    "SendingPausedException": (550, "5.7.1"),
    "MailFromDomainNotVerifiedException": (550, "5.7.1"),
    "NotFoundException": (550, "5.7.1"),  # of the configuration set
    "BadRequestException": (550, "5.7.1"),
    "AccessDeniedException": (535, "5.7.8"),
    "UnrecognizedClientException": (535, "5.7.8"),
    "InvalidClientTokenId": (535, "5.7.8"),
    "SignatureDoesNotMatch": (535, "5.7.8"),
    "InvalidSignatureException": (535, "5.7.8"),
    "ExpiredTokenException": (535, "5.7.8"),
    "ExpiredToken": (535, "5.7.8"),
}
_NOT_OURS = re.compile(r"not verified|not have authority|not authorized", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class SesTransport:
    """SES in one region; the credentials are found as boto3 finds them (environment, profile, instance role)."""

    region: str
    configuration_set: str | None = None
    endpoint: str | None = None  # another address of the API: a private one, or a test's
    timeout: float = 60.0  # seconds for the answer to a request

    @classmethod
    def from_url(cls, url: str, *, timeout: float) -> "SesTransport":
        """`ses://REGION[?configuration_set=NAME][&endpoint=https://…]`; raises SettingsError."""
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        known = {"configuration_set", "endpoint"}
        if not parts.hostname or parts.path or parts.fragment or parts.username or set(options) - known:
            raise SettingsError(
                "this names no region of Amazon SES", where="mail.url",
                hint="Want ses://REGION, as in ses://eu-west-1, and ?configuration_set=NAME if there is one.",
            )
        return cls(
            region=parts.hostname, configuration_set=options.get("configuration_set"),
            endpoint=options.get("endpoint"), timeout=timeout,
        )

    @property
    def where(self) -> str:
        return f"ses://{self.region}"

    def open(self) -> Session:
        """A session; raises ConnectError where boto3 is missing or finds no credentials. Sends nothing."""
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError
        except ImportError:
            raise self._unusable("boto3 is not installed", "Install Milepost with its extra `ses`.") from None
        try:
            config = Config(
                connect_timeout=min(self.timeout, 60.0), read_timeout=self.timeout,
                retries={"total_max_attempts": 1, "mode": "standard"},  # never twice without the ledger's word
            )
            # A session of our own: the module's default one is not safe with threads.
            session = boto3.Session(region_name=self.region)
            if session.get_credentials() is None:
                raise self._unusable(
                    "no credentials were found", "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile."
                )
            client = session.client("sesv2", config=config, endpoint_url=self.endpoint)
        except (BotoCoreError, ValueError) as error:  # ValueError: an endpoint that is no address
            raise self._unusable(str(error), "Check mail.url and the AWS settings of this machine.") from None
        return SesSession(client, self.configuration_set)

    def _unusable(self, what: str, hint: str) -> ConnectError:
        return ConnectError(
            f"Amazon SES in {self.region} can't be used: {what}", where="mail.url", hint=hint, retryable=False,
            reply=Reply(code=None, text=what, phase="connect"),
        )


class SesSession:
    """One message after the other, each in a request of its own."""

    def __init__(self, client: Any, configuration_set: str | None) -> None:
        self._client = client
        self._more = {"ConfigurationSetName": configuration_set} if configuration_set else {}
        self._sender = self._reader = ""

    @property
    def alive(self) -> bool:
        return True

    def mail(self, sender: str) -> Reply:
        self._sender = sender
        return Reply(code=250, enhanced="2.1.0", text=f"2.1.0 sender {sender} noted", phase="mail")

    def rcpt(self, address: str) -> Reply:
        self._reader = address
        return Reply(code=250, enhanced="2.1.5", text=f"2.1.5 recipient {address} noted", phase="rcpt")

    def data(self, message: bytes) -> Reply:
        """SendEmail. Phase "data" without a code: the request never went out. "dot" without one: nobody can know."""
        from botocore import exceptions as boto

        try:
            answer = self._client.send_email(
                Destination={"ToAddresses": [self._reader]}, Content={"Raw": {"Data": message}},
                FeedbackForwardingEmailAddress=self._sender, **self._more,
            )
        except boto.ClientError as error:
            return _said(error.response)
        except (
            boto.EndpointConnectionError, boto.ConnectTimeoutError, boto.ProxyConnectionError, boto.SSLError,
            boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError,
            boto.ParamValidationError,
        ) as error:
            return Reply(code=None, text=_line(str(error)), phase="data")
        except (boto.BotoCoreError, OSError) as error:  # the answer was lost: it may have been taken
            return Reply(code=None, text=_line(str(error)), phase="dot")
        queue_id = answer.get("MessageId", "")
        return Reply(code=250, enhanced="2.0.0", text=f"2.0.0 queued as {queue_id}", phase="dot")

    def reset(self) -> None:
        self._sender = self._reader = ""

    def quit(self) -> None:
        self._client.close()


def _said(response: Any) -> Reply:
    """An answer of the API in the words of SMTP."""
    error = response.get("Error", {})
    name, words = str(error.get("Code", "")), _line(str(error.get("Message", "")))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code, enhanced = _ERRORS.get(name, (0, ""))
    if name == "MessageRejected" and _NOT_OURS.search(words):
        code, enhanced = 550, "5.7.1"  # the sender's identity: our fault, and so with every mail
    if not code:
        if status >= 500 or not status:  # it broke over our request, and may have sent the mail first
            return Reply(code=None, text=f"{name}: {words}", phase="dot")
        code, enhanced = (451, "4.3.2") if status == 429 else (550, "5.7.1")
    return Reply(code=code, enhanced=enhanced, text=f"{enhanced} {name}: {words}", phase="dot")


def _line(text: str) -> str:
    return "".join(sign for sign in " ".join(text.split()) if sign.isprintable())[:500]
