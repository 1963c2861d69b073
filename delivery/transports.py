"""From the one line in the settings (mail.url) to a transport.

    smtp://HOST[:25]   smtps://[USER:PASSWORD@]HOST[:465]   smtp+starttls://[USER:PASSWORD@]HOST[:587]
    ses://REGION[?configuration_set=NAME] (Amazon SES, the extra `ses`)
    maildir:///FOLDER (relative, as sqlite:///FILE is)      maildir:////ABSOLUTE/FOLDER
    ?plaintext=1 (smtp:// beyond this machine)              ?cafile=FILE (an authority of your own)
"""

from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from delivery.maildir import MaildirTransport
from delivery.ports import Transport
from delivery.ses import SesTransport
from delivery.smtp.auth import Token
from delivery.smtp.connect import PipelineTransport
from delivery.smtp.session import Security, Timeouts
from delivery.tls import trusting
from milepost.errors import SettingsError

_SMTP: dict[str, tuple[Security, int]] = {
    "smtp": ("plain", 25),
    "smtps": ("tls", 465),
    "smtp+starttls": ("starttls", 587),
}
_OPTIONS = ("plaintext", "cafile")


def from_url(
    url: str, *, timeout: float = 600.0, hello: str = "localhost", folder: Path = Path(), token: Token | None = None
) -> Transport:
    """The transport that `url` names; opens nothing. Raises SettingsError, never showing the password.

    `timeout`: the longest wait for any answer, in seconds. `hello`: the name given in EHLO, ASCII.
    `folder`: where a relative Maildir starts. `token`: asked for an OAuth 2 access token at each login (XOAUTH2).
    """
    scheme = url.partition(":")[0].lower()
    if scheme == "maildir":
        return MaildirTransport(folder=_maildir(url, folder))
    if scheme == "ses":
        return SesTransport.from_url(url, timeout=min(timeout, 600.0))
    if scheme not in _SMTP:
        raise _wrong(f"{scheme[:20]!r} is no way to send mail")
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise _wrong(f"it is not an address ({error})") from None
    if not host or port == 0:
        raise _wrong("a host (and its port) is missing")
    if parts.path not in ("", "/") or parts.fragment:
        raise _wrong("there is something after the host")
    options = _options(parts)
    if token is not None and not parts.username:
        raise _wrong("an access token wants the user it is for, as in smtps://USER@HOST")
    security, usual_port = _SMTP[scheme]
    return PipelineTransport(
        host=host, port=port or usual_port, security=security,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        token=token, plaintext=options.get("plaintext") == "1", hello=hello, timeouts=Timeouts.within(timeout),
        context=trusting(options["cafile"], where="mail.url") if "cafile" in options else None,
    )


def _maildir(url: str, folder: Path) -> Path:
    rest = url[len("maildir:") :]
    name = unquote(rest.removeprefix("///"))
    if not rest.startswith("///") or not name or "\0" in name or "?" in rest or "#" in rest:
        raise _wrong("a Maildir wants three slashes and a folder")
    return folder / name


def _options(parts: SplitResult) -> dict[str, str]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name, value in options.items():
        if name not in _OPTIONS or not value or (name == "plaintext" and value not in ("0", "1")):
            raise _wrong(f"?{name}={value} is not an option")
    return options


def _wrong(what: str) -> SettingsError:
    return SettingsError(
        what, where="mail.url",
        hint="Want smtp://HOST:PORT, smtps:// or smtp+starttls:// with USER:PASSWORD@HOST, ses://REGION or maildir:///FOLDER.",
    )
