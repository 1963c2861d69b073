"""Every setting in one place: milepost.toml, overridden by MILEPOST_* variables, checked before anything runs.

    milepost.toml ─┐
    MILEPOST_…    ─┴▶ Settings, or one SettingsError naming the key, its value, what is allowed, and who set it
"""

import base64
import os
import tomllib
from collections.abc import Collection, Mapping
from email.utils import getaddresses, parseaddr
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from milepost import environment
from milepost.errors import SettingsError
from milepost.fields import CONTENT_FIELDS
from milepost.records import Cadence, ConditionKind, FieldClass, SourceConditionKind
from milepost.settings_errors import sentence

DEFAULT_FILE = Path("milepost.toml")
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
SMTP_SCHEMES = ("smtp", "smtps", "smtp+starttls")
_SELECTOR = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"
MAIL_SCHEMES = (*SMTP_SCHEMES, "maildir", "ses")
LARGEST = 1_000_000  # characters of a file of settings
DEEPEST = 16  # levels of tables and lists in it; ours need five
STORE_SCHEMES = ("sqlite", "postgresql")
LANGUAGE = r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$"  # of BCP 47 what matters here


def _http_base(url: str) -> str:
    """An http(s) origin with an optional path, without its closing slash."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("want an http:// or https:// address without user, query or fragment")
    return url.rstrip("/")


def _origin(url: str) -> str:
    """A web origin as browsers send it (RFC 6454 §6.2)."""
    parts = urlsplit(_http_base(url))
    if parts.path or url != url.lower() or not url.isascii():
        raise ValueError("want scheme and host alone, in lower case, as in https://timeline.example")
    return url.rstrip("/")


def _https_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.username or not url.isascii() or not url.isprintable():
        raise ValueError("want an https:// address in ASCII, as in https://www.example.org/logo.png")
    return url


def _network(text: str) -> str:
    """An IP address, or a network."""
    try:
        ip_network(text)
    except ValueError:
        raise ValueError("want an IP address or a network, as in 10.0.0.0/8") from None
    return text


def _link_or_none(text: str) -> str:
    """An address, or the word for none."""
    return text if text == "none" else _http_base(text)


Named = TypeVar("Named", bound=Collection[str])


def _of_fields(names: Named) -> Named:
    """Names of a milestone's fields."""
    for name in names:
        if name not in CONTENT_FIELDS:
            raise ValueError(f"there is no field {name!r}; choose from {', '.join(CONTENT_FIELDS)}")
    return names


HttpBase = Annotated[str, AfterValidator(_http_base)]
Network = Annotated[str, AfterValidator(_network)]
Origin = Annotated[str, AfterValidator(_origin)]
HttpsUrl = Annotated[str, AfterValidator(_https_url)]
AUTO = "auto"  # of `feeds`
TRUST = "trust"  # of `lastmod`
Slug = Annotated[str, Field(pattern=r"^\S{1,200}$", title="a slug, as in deep-learning")]
FontStack = Annotated[str, Field(pattern=r"^[A-Za-z0-9 -]+(, ?[A-Za-z0-9 -]+)*$",
                         title="names of fonts with commas between them, as in Georgia, serif")]


class _Section(BaseModel):
    """A section refuses keys it does not know: a misspelt guard must not be a missing guard."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class StoreSettings(_Section):
    """[store]"""

    url: str = "sqlite:///milepost.db"
    """Where the record, the issues and the ledger live: `sqlite:///FILE` (a relative file belongs beside the settings)
    or `postgresql://USER@HOST/NAME`."""
    keep_days: Annotated[int, Field(ge=1)] | None = None
    """Forget snapshots of pages that are older, in days; what is evidence for a record always stays."""

    @field_validator("url")
    @classmethod
    def _known_database(cls, url: str) -> str:
        if url.split(":", 1)[0].split("+", 1)[0] not in STORE_SCHEMES:
            raise ValueError("want sqlite:///FILE or postgresql://USER@HOST/NAME")
        return url


class SourceSettings(_Section):
    """[[sources]]"""

    key: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$",
                              title="lower-case letters, digits and dashes, 40 at most")]
    """The site's name here."""
    extractor: str
    """Who reads its pages; `milepost extract --list` names them."""
    base_url: HttpBase
    """Its pages' identity."""
    fetch_from: HttpBase | None = None
    """A mirror to read from; pages keep their identity."""
    allow_hosts: tuple[str, ...] = ()
    """Private hosts that may be fetched; all others are refused."""
    max_pages: Annotated[int, Field(ge=1, le=1_000_000)] = 20_000
    """More pages than this end a look."""
    poll: Annotated[str | None, Field(pattern=r"^/[^?#]*$", title="a path, as in /")] = None
    """A page that shows every milestone: unchanged, it ends the look early."""
    full_every_hours: Annotated[float, Field(ge=0, le=24 * 31)] = 24.0
    """With `poll`: every page is asked for at least this often, in hours."""
    lastmod: Literal["ignore", "trust"] = "ignore"
    """`trust`: a page whose sitemap names the very `<lastmod>` with which it was last had is not asked for. One that
    changes all the same ends the trust: docs/howto/add-a-site.md."""
    revisit_days: Annotated[float, Field(ge=1, le=366)] = 30.0
    """With `lastmod = "trust"`: every page is asked for at least this often, in days, whatever its lastmod says."""
    feeds: Annotated[
        Literal["auto"] | tuple[Annotated[str, Field(pattern=r"^/[^#]*$", title="a path, as in /feed.xml")], ...],
        Field(title='"auto", or a list of paths, as in ["/feed.xml"]'),
    ] = ()
    """Feeds and news sitemaps of the site that lead to its pages: their titles and dates are a witness beside them.
    `auto`: those that the site's listings advertise."""
    language: Annotated[str | None, Field(pattern=LANGUAGE, title="a language tag, as in en or de-AT")] = None
    """The language of what it tells, which a mail and a page tell to those who read aloud; it also settles which way
    mixed texts are read."""
    render: bool = False
    """Read its pages as a browser shows them once their scripts have run; needs the extra `js` and a Chromium."""
    render_wait: Annotated[str | None, Field(min_length=1, max_length=500, title="a CSS selector, as in main article"
                                                      )] = None
    """With `render`: a page is there when something on it fits this CSS selector, else when its scripts ask for nothing
    more."""
    options: Mapping[str, Any] = Field(default_factory=dict)
    """What the extractor wants to know of the site: docs/howto/add-a-site.md."""
    classes: Annotated[Mapping[str, FieldClass], AfterValidator(_of_fields)] = Field(default_factory=dict)
    """What a difference in a field is on this site, whatever it looks like: `ignore`, `cosmetic`, `enriched` or
    `corrected`."""
    believe_first: Annotated[tuple[str, ...], AfterValidator(_of_fields)] = ()
    """Fields that follow their first witness, though another still tells the old value."""
    mute: tuple[SourceConditionKind, ...] = ()
    """Alarms of this source that are shown by `milepost status` and told nowhere; `mute` of `[notify]` is for all."""

    @model_validator(mode="after")
    def _waits_for_a_rendering(self) -> Self:
        if self.render_wait is not None and not self.render:
            raise ValueError("`render_wait` wants `render = true`")
        return self


class FetchSettings(_Section):
    """[fetch]"""

    contact: str | None = None
    """An address that is told to the sites in our User-Agent."""
    concurrency: Annotated[int, Field(ge=1, le=16)] = 4
    """Pages asked for at once."""
    sources_at_once: Annotated[int, Field(ge=1, le=16)] = 4
    """Sources that are looked at side by side; those on one host go one after the other."""
    reading_processes: Annotated[int, Field(ge=1, le=64)] | None = None
    """How many processes read the pages of one source where 2,000 or more come, while later ones are asked for; by
    default one a core, and 4 at most. With `1` the look reads them itself, when all have come."""
    max_look_minutes: Annotated[float, Field(gt=0, le=24 * 60)] = 60.0
    """The longest that one source is asked for pages in one look, in minutes; what is left then is the next look's."""
    min_interval: Annotated[float, Field(ge=0, le=60)] = 0.0
    """The least time between two requests to a site, in seconds; its own Crawl-delay counts as well."""
    timeout: Annotated[float, Field(gt=0, le=600)] = 30.0
    """For a page, redirects and all, in seconds."""
    max_wire_bytes: Annotated[int, Field(ge=1024)] = 5 * 1024 * 1024
    """The longest answer as it travels."""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 10 * 1024 * 1024
    """The longest page, decoded."""
    max_redirects: Annotated[int, Field(ge=0, le=20)] = 5
    """How many redirects are followed for a page."""
    retries: Annotated[int, Field(ge=0, le=10)] = 3
    """How often a page is asked for again after a failure that may pass."""
    max_retry_after: Annotated[float, Field(ge=0, le=3600)] = 60.0
    """The longest Retry-After that is waited for, in seconds."""


class RenderSettings(_Section):
    """[render]"""

    browser: Path | None = None
    """The Chromium that renders pages; else the first of `chromium`, `chromium-browser` and `google-chrome`, else
    Playwright's own."""
    sandbox: bool = True
    """Chromium's own sandbox. Root has none: set this to `false` only where a container or a machine holds nothing
    else."""
    timeout: Annotated[float, Field(gt=0, le=600)] = 30.0
    """For a page and all that its scripts ask for, in seconds; one that is never at rest is taken as it stands after
    half of it."""
    max_requests: Annotated[int, Field(ge=0, le=10_000)] = 100
    """How many addresses the scripts of a page may ask for; a page that wants more is not read."""
    max_bytes: Annotated[int, Field(ge=1024)] = 20 * 1024 * 1024
    """What the scripts of a page and their data may come to, decoded; a page that wants more is not read."""
    max_memory_mb: Annotated[int, Field(ge=256)] = 1536
    """What the browser may take while it renders a page, in MiB (on Linux); over that it is ended."""


class MailSettings(_Section):
    """[mail]"""

    url: SecretStr = SecretStr("maildir:///outbox")
    """The relay: `smtp://HOST:PORT` (plain; loopback only), `smtps://`, `smtp+starttls://USER:PASSWORD@HOST:PORT`,
    `ses://REGION`, or `maildir:///FOLDER`."""
    fallback: SecretStr | None = None
    """A second relay, for when the first is not there or too busy; an SMTP address."""
    sender: Annotated[str, Field(alias="from")] = ""
    """The sender."""
    reply_to: str | None = None
    """Where answers go."""
    return_path: str | None = None
    """Where bounces go, when `bounce_domain` gives no delivery one of its own."""
    feedback_id: Annotated[str | None, Field(pattern=r"^[!-9;-~]*(:[!-9;-~]*){0,2}:[!-9;-~]{5,15}$",
                                             title="up to three labels and a sender of 5 to 15 characters, "
                                                         "as in milestones:example")] = None
    """The Feedback-ID of every mail, for the mailbox providers that report by it."""
    postal_address: str = ""
    """Stands at the foot of every mail."""
    timeout: Annotated[float, Field(gt=0, le=3600)] = 600.0
    """The longest wait for one reply of the relay, in seconds."""
    connections: Annotated[int, Field(ge=1, le=100)] = 4
    """Connections to the relay at once."""
    messages_per_connection: Annotated[int, Field(ge=1, le=100_000)] = 100
    """Messages after which a connection is made anew."""
    per_second: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """The most messages a second, in all."""
    per_domain_per_second: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """The most messages a second to one domain."""
    bounce_domain: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$",
                                               title="a domain, as in bounces.example.org")] = None
    """Gives each mail a return address of its own, by which a bounce names it, and each reader one to leave by."""
    dkim_key_file: Path | None = None
    """A private key (RSA-2048 or Ed25519) that signs every mail."""
    oauth2_token: SecretStr | None = None
    """An access token: login by XOAUTH2 for the user in `url`."""
    oauth2_command: tuple[str, ...] = ()
    """A program that prints such a token."""
    dkim_selector: Annotated[str, Field(pattern=_SELECTOR, title="letters, digits, dots and dashes")] = "milepost"
    """The key's selector in the DNS."""
    previous_dkim_selectors: tuple[Annotated[str, Field(pattern=_SELECTOR, title="letters, digits, dots and dashes")],
                                   ...] = ()
    """Selectors that signed before: `milepost doctor` sees that mails on their way still find their records."""

    @field_validator("url")
    @classmethod
    def _known_transport(cls, url: SecretStr) -> SecretStr:
        parts = urlsplit(url.get_secret_value())
        if parts.scheme not in MAIL_SCHEMES:
            raise ValueError("want smtp://, smtps://, smtp+starttls:// with a host, ses://REGION or maildir:///FOLDER")
        if parts.scheme != "maildir" and not parts.hostname:
            raise ValueError("want a host after the scheme, as in smtp://127.0.0.1:2525")
        try:
            _ = parts.port
        except ValueError:
            raise ValueError("want a port from 1 to 65535, as in smtp://127.0.0.1:2525") from None
        return url

    @field_validator("fallback")
    @classmethod
    def _known_relay(cls, url: SecretStr | None) -> SecretStr | None:
        if url is None:
            return None
        if urlsplit(url.get_secret_value()).scheme not in SMTP_SCHEMES:
            raise ValueError("want smtp://, smtps:// or smtp+starttls:// with a host")
        return cls._known_transport(url)

    @field_validator("sender", "reply_to", "return_path")
    @classmethod
    def _one_address(cls, value: str | None) -> str | None:
        if value:
            name, address = parseaddr(value)
            whole = not any(sign in value for sign in "\r\n\0") and (name or address == value.strip())
            if "@" not in address or len(getaddresses([value])) != 1 or not whole:
                raise ValueError("want one address, as in: AI Timeline <news@timeline.example>")
        return value


class BounceSettings(_Section):
    """[bounces]"""

    sources: tuple[str, ...] = ()
    """What `milepost bounces` reads: `maildir:///FOLDER`, `mbox:///FILE`, `imaps://USER@HOST/INBOX`."""
    password: SecretStr | None = None
    """IMAP's password; it belongs into a file of its own or the environment."""
    timeout: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """The longest wait for the mailbox, in seconds."""
    ses_topics: tuple[str, ...] = ()
    """Amazon SES posts bounces to `/hooks/ses`: the ARNs of its SNS topics, as in
    `arn:aws:sns:eu-west-1:123456789012:bounces`; others are not believed."""
    sendgrid_key: str | None = None
    """SendGrid posts events to `/hooks/sendgrid`: the public key of its Signed Event Webhook, as it is shown there."""
    previous_sendgrid_key: str | None = None
    """The one of before, believed as well while the key is changed: docs/operations/keys.md."""
    mailgun_key: SecretStr | None = None
    """Mailgun posts events to `/hooks/mailgun`: the account's HTTP webhook signing key."""
    previous_mailgun_key: SecretStr | None = None
    """The one of before, believed as well meanwhile."""
    postmark_password: SecretStr | None = None
    """Postmark posts bounces to `https://any:PASSWORD@…/hooks/postmark`: that password, 16 characters at least."""
    previous_postmark_password: SecretStr | None = None
    """The one of before, believed as well meanwhile."""

    @field_validator("postmark_password", "mailgun_key", "previous_postmark_password", "previous_mailgun_key")
    @classmethod
    def _hard_to_guess(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and len(secret.get_secret_value()) < 16:
            raise ValueError("want at least 16 characters")
        return secret

    @model_validator(mode="after")
    def _one_before_another(self) -> Self:
        for name in ("sendgrid_key", "mailgun_key", "postmark_password"):
            if getattr(self, f"previous_{name}") and not getattr(self, name):
                raise ValueError(f"bounces.previous_{name} is nothing without bounces.{name}, the one of today")
        return self


class NewsletterSettings(_Section):
    """[newsletter]"""

    name: str = "Milestones"
    """The newsletter's name."""
    tagline: str = ""
    """A line below it."""
    cadences: Annotated[tuple[Cadence, ...], Field(min_length=1)] = ("instant",)
    """How often readers may hear; the first is what is chosen for those who don't choose."""
    timezone: str = "UTC"
    """The zone of `weekday` and `hour`."""
    weekday: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] = "monday"
    """The day of a weekly issue."""
    hour: Annotated[int, Field(ge=0, le=23)] = 9
    """The hour of a daily, weekly or monthly issue."""
    approval: bool = False
    """Nothing is sent before `milepost issue approve N`."""
    language: Annotated[str, Field(pattern=LANGUAGE, title="a language tag, as in en or de-AT")] = "en"
    """The language of our own words: `en`, `de`, `he`."""
    accent: Annotated[str, Field(pattern=r"^#[0-9A-Fa-f]{6}$", title="a colour, as in #4f46e5")] = "#4f46e5"
    """The colour that the others are fitted round."""
    images: bool | Literal["hosted"] = False
    """Show the sites' pictures: `true`, and readers' clients fetch them there; `"hosted"`, and the lead's is served by
    our own pages, from one address for all readers."""
    images_follow: bool = True
    """A picture that its site takes down, or that its robots.txt forbids by now, is served no more from the next look
    on (`images = "hosted"`)."""
    labels: Mapping[Slug, str] = Field(default_factory=dict)
    """What readers see categories, eras and tags called, in the newsletter's language, by their slugs, as in
    `gpt = "GPT"`; else they are called as on the site's own links."""
    undo_minutes: Annotated[int, Field(ge=0, le=7 * 24 * 60)] = 10
    """After an approval a scheduled run waits this long: `milepost issue stop N` takes it back."""
    quiet_minutes: Annotated[int, Field(ge=0, le=24 * 60)] = 30
    """An instant issue is made once nothing new has landed for so long, after four times that at last."""
    templates: Path | None = None
    """A folder whose files stand in for ours; `milepost templates eject FOLDER` writes them."""
    logo: HttpsUrl | None = None
    """A picture for the masthead."""
    logo_alt: str = ""
    """What the picture says."""
    logo_width: Annotated[int, Field(ge=16, le=520)] = 160
    """Its width, in px."""
    font: FontStack = "Charter, Iowan Old Style, Georgia, Times New Roman, serif"
    """The fonts of texts."""
    label_font: FontStack = "-apple-system, Segoe UI, Helvetica, Arial, sans-serif"
    """The fonts of labels."""

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            raise ValueError("want an IANA time zone, as in Europe/Amsterdam") from None
        return name


class WebSettings(_Section):
    """[web]"""

    base_url: HttpBase = "http://127.0.0.1:8025"
    """Where unsubscribe links and issue pages live."""
    signing_key: SecretStr | None = None
    """Keeps readers' links unforgeable, 32 characters at least; left out, the store keeps a random one. Changing it
    breaks the links already sent, unless the old one goes to `previous_signing_keys`."""
    previous_signing_keys: tuple[SecretStr, ...] = ()
    """Keys that signed links before: those go on working, also in mails of an issue that is being sent."""
    signup: bool = True
    """Take sign-ups, on `/subscribe` and by `POST /api/subscribe`; each has to be confirmed by mail."""
    allow_origins: tuple[Origin, ...] = ()
    """Other sites whose pages may post to `/api/subscribe` from a browser, as in `https://timeline.example`."""
    signup_per_network: Annotated[int, Field(ge=1)] = 20
    """The most different addresses that one network (IPv4 /24, IPv6 /48) may sign up in an hour."""
    signup_per_hour: Annotated[int, Field(ge=1)] = 500
    """The most confirmation mails an hour; more wait their turn, and what ten hours can't send is refused."""
    proof_of_work: Literal["off", "page", "everywhere"] = "off"
    """Make a browser calculate for a second before it signs somebody up, against programs: `page`, on `/subscribe`,
    which then needs scripts; `everywhere`, for `POST /api/subscribe` too, whose form then has to send `altcha`. For all
    but this machine it takes an https:// `base_url`."""
    check_domain: bool = True
    """Ask the DNS whether a typed address's domain takes mail: the page asks back, and no letter goes to one that
    another site's form sent and that takes none."""
    welcome: bool = True
    """A mail after the confirmation, with a link to the last issue."""
    goodbye: Literal["off", "mail", "unseen"] = "mail"
    """One last mail to who left without a page of ours that says so, with the way back: `mail`, who left by a mail of
    theirs; `unseen`, whose mail program pressed its own button (one-click) too; `off`, nobody."""
    archive_signup: Annotated[str, AfterValidator(_link_or_none)] | None = None
    """Where the sign-up links of a static archive (`milepost archive build`) lead on a host that doesn't answer
    `/subscribe`: an address, or `none` for no link."""
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    """How many processes `milepost web` serves with, on one machine; on SQLite they take turns to write."""
    trusted_proxies: tuple[Network, ...] = ("127.0.0.1", "::1")
    """Whose X-Forwarded-For is believed: addresses or networks of your proxies, as in `10.0.0.0/8`. Sign-ups are
    counted by the visitor it names."""
    connections: Annotated[int, Field(ge=16, le=50_000)] = 1000
    """The most connections at once, for each process; one too many takes the place of whichever kept us waiting
    longest."""
    metrics_token: SecretStr | None = None
    """Who shows it (`Authorization: Bearer …`) is answered on `/metrics` and told the details of `/ready`; without one,
    only this machine is, and only where no proxy stands between."""
    previous_metrics_token: SecretStr | None = None
    """The one of before, taken as well until whoever asks has the new one: docs/operations/keys.md."""
    timeline: Literal["summary", "full", "off"] = "summary"
    """What `/timeline` and its feeds show of each milestone beside its history: `summary`, its title, date and first
    sentence with a link to its site; `full`, all of it, for a site of one's own; `off`, there is no timeline."""

    @field_validator("proof_of_work")
    @classmethod
    def _where_browsers_calculate(cls, where: str, info: ValidationInfo) -> str:
        """Browsers have WebCrypto over https and on their own machine (W3C Secure Contexts §3.1)."""
        base = urlsplit(info.data.get("base_url", ""))
        own = base.hostname in ("localhost", "127.0.0.1", "::1")
        if where != "off" and base.scheme == "http" and not own:
            raise ValueError("browsers calculate on https:// pages alone: change web.base_url, or switch it off")
        return where

    @field_validator("previous_signing_keys")
    @classmethod
    def _each_long_enough(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        return tuple(key for key in keys if cls._long_enough(key))

    @model_validator(mode="after")
    def _a_token_of_today(self) -> Self:
        if self.previous_metrics_token is not None and self.metrics_token is None:
            raise ValueError("web.previous_metrics_token is nothing without web.metrics_token, the one of today")
        return self

    @field_validator("metrics_token", "previous_metrics_token")
    @classmethod
    def _hard_to_guess(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and len(token.get_secret_value()) < 16:
            raise ValueError("want at least 16 characters")
        return token

    @field_validator("signing_key")
    @classmethod
    def _long_enough(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and len(key.get_secret_value()) < 32:
            raise ValueError("want at least 32 characters; leave it out and the store keeps a random one")
        return key


class DeskSettings(_Section):
    """[desk]"""

    listen: Annotated[str | None, Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[^:\s/]+):[0-9]{1,5}$",
                                        title="an address and a port, as in 127.0.0.1:8026")] = None
    """Where the desk and the API are served, apart from the readers' pages; left out, `/desk` and `/api/v1` beside
    those. There is neither before `milepost operators add`."""
    @field_validator("listen")
    @classmethod
    def _a_port_to_know_it_by(cls, listen: str | None) -> str | None:
        if listen is not None and not 1 <= int(listen.rpartition(":")[2]) <= 65535:
            raise ValueError("want a port from 1 to 65535")
        return listen

    base_url: HttpBase | None = None
    """How operators reach it, as in `https://desk.example.org`; left out, `http://` and `listen`, or `web.base_url`."""
    trusted_header: Annotated[str | None, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,60}$",
                                                title="a header's name, as in Remote-User")] = None
    """A proxy of `web.trusted_proxies` signs operators in and names them in this header, which it has to take off
    whatever visitors send; passwords are not asked for any more."""
    four_eyes: bool = False
    """Who edited a draft last can't approve it: somebody else has to."""
    idle_minutes: Annotated[int, Field(ge=1, le=7 * 24 * 60)] = 240
    """Signed out after so long without a click."""
    session_hours: Annotated[int, Field(ge=1, le=31 * 24)] = 72
    """… and after so long in any case."""


class GuardSettings(_Section):
    """[guards]"""

    surge_min: Annotated[int, Field(ge=1)] = 10
    """A look is held when it finds more new milestones than this, and than `surge_share` of those known."""
    removal_min: Annotated[int, Field(ge=1)] = 3
    """A look is held when more milestones are gone than this, and than `surge_share` of those known."""
    surge_share: Annotated[float, Field(gt=0, le=1)] = 0.2
    """See `surge_min` and `removal_min`."""
    max_failed_share: Annotated[float, Field(ge=0, le=1)] = 0.2
    """A look is held when more of its pages failed."""
    max_read_seconds: Annotated[float, Field(ge=1, le=600)] = 10.0
    """Processor time for reading one page: a page that takes longer is ended, named, and not read until it changes."""


class WebhookSettings(_Section):
    """[webhooks]"""

    urls: tuple[HttpBase, ...] = ()
    """Who is told of `milestone.added` and `issue.sent`, by a POST each: docs/operations/webhooks.md."""
    secret: SecretStr | None = None
    """Signs each POST (Standard Webhooks): `whsec_` and 24 to 64 bytes in base64. It belongs into the environment."""
    previous_secret: SecretStr | None = None
    """The one of before, which signs each POST as well, so that receivers can change at leisure."""
    allow_hosts: tuple[str, ...] = ()
    """Private hosts that may be told; all others are refused."""

    @field_validator("secret", "previous_secret")
    @classmethod
    def _in_its_form(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            given = secret.get_secret_value()
            try:
                length = len(base64.b64decode(given.removeprefix("whsec_"), validate=True))
            except ValueError:
                length = 0
            if not given.startswith("whsec_") or not 24 <= length <= 64:
                raise ValueError("want whsec_ and 24 to 64 bytes in base64")
        return secret

    @model_validator(mode="after")
    def _signed(self) -> Self:
        if self.urls and self.secret is None:
            raise ValueError("webhooks.urls want a webhooks.secret that signs them")
        if self.previous_secret is not None and self.secret is None:
            raise ValueError("webhooks.previous_secret is nothing without webhooks.secret, the one of today")
        return self


class NotifySettings(_Section):
    """[notify]"""

    urls: tuple[SecretStr, ...] = ()
    """Where operators are told what waits or is wrong: Apprise addresses of mail, chat, push or a webhook
    (https://github.com/caronc/apprise/wiki), as in `mailtos://USER:PASSWORD@mail.example`. `milepost notify test` tries
    them."""
    mute: tuple[ConditionKind, ...] = ()
    """Alarms that are shown by `milepost status` and told nowhere: docs/operations/alarms.md has their names."""
    every_minutes: Annotated[int, Field(ge=1, le=24 * 60)] = 15
    """The least time between two messages; what comes up meanwhile is told in one."""
    remind_hours: Annotated[float, Field(ge=1, le=24 * 31)] = 24.0
    """How often it is told again what is still so."""
    down_looks: Annotated[int, Field(ge=1, le=1000)] = 3
    """A source is down after so many failed looks in a row …"""
    incomplete_looks: Annotated[int, Field(ge=1, le=1000)] = 6
    """… incomplete after so many in a row that had its pages and were not whole: of each some failed, or its witnesses
    differ …"""
    silent_hours: Annotated[float, Field(gt=0, le=24 * 366)] = 26.0
    """… and silent when no look at it has ended for so long."""
    lost_minutes: Annotated[float, Field(ge=1, le=24 * 60)] = 15.0
    """A run of the schedules of which nothing is heard for so long is lost, unless its lease says that it lives; one
    whose process is known to be dead is lost at once. Prefect's list shows it as crashed. One that was handed over and
    has not begun waits, and is told of; it is lost when one that was due so long after it has begun."""
    overdue_hours: Annotated[float, Field(gt=0, le=24 * 31)] = 3.0
    """What is due and not drafted, handed over or mailed for so long is overdue."""
    bounce_share: Annotated[float, Field(gt=0, le=1)] = 0.05
    """More bounces than this of the last three issues are an alarm …"""
    complaint_share: Annotated[float, Field(gt=0, le=1)] = 0.003
    """… and more complaints than this: what the large mailbox providers call too many."""
    disk_free_mb: Annotated[int, Field(ge=0)] = 500
    """Less room than this where a SQLite database lies is an alarm, in MB."""


class PrefectSettings(_Section):
    """[prefect]"""

    fan_out: Literal["threads", "deployment", "dask"] = "threads"
    """How runs of Prefect look at several sources: `threads` of their own process; with `deployment` one run of the
    deployment `scrape` for each source, on whichever worker takes it; with `dask` a task for each, in the processes of
    a Dask cluster (`pip install 'milepost[dask]'`). The last two want PostgreSQL as store, a Prefect server, and
    workers that have the same settings."""
    dask_address: str | None = None
    """With `dask`: the scheduler of a cluster that is there, as tcp://HOST:8786. Without, each run has a cluster of its
    own on its machine, of `sources_at_once` processes ([fetch])."""
    runs_at_once: Annotated[int, Field(ge=1, le=500)] = 50
    """With `deployment` or `dask_address`: runs that are asked for at a time; sources on one host go one after another
    all the same."""
    begin_minutes: Annotated[float, Field(gt=0, le=24 * 60)] = 10.0
    """How long a source's run waits for a worker while none takes any of them; then it is called off, and failed."""
    run_minutes: Annotated[float, Field(gt=0, le=7 * 24 * 60)] = 180.0
    """The longest that a source's run may take; then it is called off, and failed. Longer than `max_look_minutes` of
    `[fetch]`, since what was fetched is read after it."""


class Settings(BaseSettings):
    """All of it; build it with `load`."""

    model_config = SettingsConfigDict(
        env_prefix="MILEPOST_", env_nested_delimiter="__", extra="forbid", frozen=True, populate_by_name=True,
    )

    store: StoreSettings = StoreSettings()
    sources: tuple[SourceSettings, ...] = ()
    fetch: FetchSettings = FetchSettings()
    render: RenderSettings = RenderSettings()
    mail: MailSettings = MailSettings()
    bounces: BounceSettings = BounceSettings()
    newsletter: NewsletterSettings = NewsletterSettings()
    web: WebSettings = WebSettings()
    desk: DeskSettings = DeskSettings()
    guards: GuardSettings = GuardSettings()
    notify: NotifySettings = NotifySettings()
    prefect: PrefectSettings = PrefectSettings()
    webhooks: WebhookSettings = WebhookSettings()

    @model_validator(mode="after")
    def _keys_differ(self) -> Self:
        keys = [source.key for source in self.sources]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f"two sources share the key {key!r}")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment and secret files win over the file, which `load` hands in as keyword arguments."""
        if isinstance(env_settings, EnvSettingsSource):
            given = environment.variables(os.environ)
            env_settings.env_vars = {name.lower(): value for name, value in given.items()}
        return env_settings, init_settings

    def source(self, key: str) -> SourceSettings:
        """The source of that key; raises SettingsError when there is none."""
        for source in self.sources:
            if source.key == key:
                return source
        known = ", ".join(source.key for source in self.sources) or "none"
        raise SettingsError(f"there is no source {key!r}", where="sources", hint=f"Configured: {known}.")


def read_file(path: Path) -> dict[str, Any]:
    """Read a TOML file; raises SettingsError when it is missing, unreadable or not TOML."""
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        where = "" if path.is_absolute() else f" (It was looked for in {path.absolute().parent}.)"
        hint = f"Run `milepost init` to write one.{where}"
        raise SettingsError("there is no such file", where=str(path), hint=hint) from None
    except IsADirectoryError:
        hint = f"Name the file in it, as in --config {path / DEFAULT_FILE}."
        raise SettingsError("is a folder", where=str(path), hint=hint) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SettingsError(
            f"it is not UTF-8 text (line {line})", where=str(path), hint="Save it in the encoding UTF-8."
        ) from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SettingsError(f"can't be read: {reason}", where=str(path), hint="Check its owner and mode.") from None
    if len(text) > LARGEST:
        raise SettingsError(f"is too long for settings: {len(text)} characters, of {LARGEST} at most", where=str(path))
    try:
        data = tomllib.loads(text)
        _refuse_monsters(data)
    except tomllib.TOMLDecodeError as error:  # its words end in "(at line 2, column 7)"
        raise SettingsError(f"is not valid TOML: {error}", where=str(path), hint="Mend that line.") from None
    except (RecursionError, ValueError) as error:
        what = "its lists or tables nest too deeply" if isinstance(error, RecursionError) else "a number is too large"
        raise SettingsError(what, where=str(path), hint="Compare with `milepost init --print`.") from None
    return data


def _refuse_monsters(data: dict[str, Any]) -> None:
    """Raises what tomllib raises for more of it: RecursionError beyond DEEPEST levels, ValueError beyond 64 bits."""
    waiting: list[tuple[int, object]] = [(0, data)]
    while waiting:
        depth, value = waiting.pop()
        if depth > DEEPEST:
            raise RecursionError
        if isinstance(value, dict | list):
            waiting += [(depth + 1, part) for part in (value.values() if isinstance(value, dict) else value)]
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:  # TOML 1.0 promises no others
            raise ValueError


def _rooted(url: str, prefix: str, folder: Path) -> str:
    """A relative FILE after `prefix` belongs to the folder of the settings that name it, wherever the program runs."""
    name = url.removeprefix(prefix)
    if name == url or not name or name == ":memory:" or name.startswith("/"):
        return url
    return f"{prefix}{(folder / name).resolve()}"


def parse(data: Mapping[str, Any], *, file: str = "settings", folder: Path | None = None) -> Settings:
    """Check `data` (the shape of milepost.toml) under the environment's overrides; raises SettingsError."""
    given = environment.variables(os.environ)
    environment.check(Settings, given)
    for key in data:
        if key.startswith("_"):  # pydantic-settings would take it for an option of its own
            raise SettingsError(f"{key} is not a setting", where=file, hint="Take it out.")
    try:
        settings = Settings(**data)
    except ValidationError as error:
        raise sentence(error, model=Settings, file=file, data=data, environ=given) from None
    if folder is None:
        return settings
    store = settings.store.model_copy(update={"url": _rooted(settings.store.url, "sqlite:///", folder)})
    url = _rooted(settings.mail.url.get_secret_value(), "maildir:///", folder)
    mail = settings.mail.model_copy(update={"url": SecretStr(url)})
    if mail.dkim_key_file is not None:
        mail = mail.model_copy(update={"dkim_key_file": (folder / mail.dkim_key_file).resolve()})
    listed = settings.bounces.sources
    inboxes = tuple(_rooted(_rooted(one, "mbox:///", folder), "maildir:///", folder) for one in listed)
    bounces = settings.bounces.model_copy(update={"sources": inboxes})
    letter = settings.newsletter
    if letter.templates is not None:
        letter = letter.model_copy(update={"templates": (folder / letter.templates).resolve()})
    return settings.model_copy(update={"store": store, "mail": mail, "bounces": bounces, "newsletter": letter})


def config_file(path: Path | None = None) -> Path:
    """The settings file that `load` reads: `path`, else $MILEPOST_CONFIG, else ./milepost.toml."""
    return path or Path(os.environ.get("MILEPOST_CONFIG", DEFAULT_FILE))


def load(path: Path | None = None) -> Settings:
    """Load the settings file under the environment's overrides; raises SettingsError."""
    file = config_file(path)
    return parse(read_file(file), file=file.name, folder=file.resolve().parent)
