"""How everything stands as Prometheus reads it: gauges, of counts and moments alone; no label is or holds an address.

    Standing ─▶ gauges ─▶ text (https://prometheus.io/docs/instrumenting/exposition_formats/)
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from milepost import __version__
from milepost.records import CONDITION_KINDS, DELIVERY_STATES, SUBSCRIBER_STATES
from milepost.settings import Settings
from pipeline.operate.standing import Readiness, Standing, readiness, stand


def exposition(standing: Standing, accept: str = "") -> tuple[bytes, str]:
    """The page and its content type, in the form that the scraper's Accept header asks for."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Gauges(standing))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


@dataclass(frozen=True, slots=True)
class Health:
    """What machines ask of a process of these settings."""

    settings: Settings

    def ready(self) -> Readiness:
        """Asked of the database itself."""
        return readiness(self.settings)

    def metrics(self, accept: str, now: dt.datetime) -> tuple[bytes, str]:
        """A page of gauges and its content type."""
        return exposition(stand(self.settings, now=now), accept)


class _Gauges(Collector):
    """One scrape."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Every gauge."""
        standing = self._standing
        yield _labelled("build_info", "The version that answers.", "version", {__version__: 1})
        yield _plain("up", "1 while the database can be used, 0 while it can't.", float(standing.figures is not None))
        kinds: dict[str, int] = dict.fromkeys(CONDITION_KINDS, 0)
        for one in standing.conditions:
            kinds[one.kind] += 1
        yield _labelled("conditions", "What waits for an operator or is wrong, by kind (docs/operations/alarms.md).",
                        "kind", kinds)
        failing = sum(message.state != "sent" and message.attempts > 0 for message in standing.messages.values())
        yield _plain("notice_channels_failing", "Channels that did not take their last notice.", failing)
        if standing.figures is not None:
            yield from self._figures()

    def _figures(self) -> Iterable[GaugeMetricFamily]:
        figures, now = self._standing.figures, self._standing.at
        assert figures is not None  # noqa: S101 (see collect)
        yield _labelled("looks", "Looks, by how they ended.", "state", figures.looks)
        ended = {source.key: source.ended[0] for source in figures.sources if source.ended}
        yield _labelled("look_ended_timestamp_seconds", "When a look at a source last ended.", "source", {
            key: look.finished_at.timestamp() for key, look in ended.items() if look.finished_at
        })
        yield _labelled("look_failed", "1 where the last look at a source failed.", "source",
                        {key: int(look.state == "failed") for key, look in ended.items()})
        yield _labelled("look_held", "1 where the last look at a source is held.", "source",
                        {key: int(look.waiting) for key, look in ended.items()})
        yield _labelled("look_pages_failed", "Pages that failed in the last look at a source.", "source",
                        {key: look.failed for key, look in ended.items()})
        yield _plain("pages", "Pages that are known.", figures.pages)
        yield _plain("snapshots", "Pages as fetched, kept.", figures.snapshots)
        yield _labelled("milestones", "Milestones on record.", "state", figures.milestones)
        readers: dict[str, int] = {**dict.fromkeys(SUBSCRIBER_STATES, 0), **figures.subscribers}
        yield _labelled("subscribers", "Readers.", "state", readers)
        yield _labelled("sign_ups_last_day", "Sign-ups of a day, by what became of them.", "what", figures.sign_ups)
        yield _labelled("reports", "What came back, by grade.", "grade", figures.bounces)
        yield _labelled("reports_refused", "Reports in a provider's name that it had not signed, ever.", "provider",
                        figures.refused)
        yield _labelled("letters", "Letters.", "state", figures.letters)
        yield _plain("letter_queue_age_seconds", "How long the oldest letter that is due has waited.",
                     (now - figures.letter_since).total_seconds() if figures.letter_since else 0)
        deliveries = GaugeMetricFamily(
            "milepost_deliveries", "Deliveries of issues that are not over, and of the last three.",
            labels=["issue", "state"],
        )
        for issue in figures.issues:
            for state in DELIVERY_STATES if issue.states else ():
                deliveries.add_metric([str(issue.number), state], issue.states.get(state, 0))
        yield deliveries
        waiting = [one.frozen_at for one in figures.issues if one.state in ("frozen", "sending") and one.frozen_at]
        yield _plain("issue_queue_age_seconds", "How long ago the oldest issue that is being sent was frozen.",
                     (now - min(waiting)).total_seconds() if waiting else 0)
        yield _plain("restored", "1 while a restored database waits for an operator's word.",
                     int(figures.restored_from is not None))


def _plain(name: str, says: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"milepost_{name}", says, value=value)


def _labelled(name: str, says: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"milepost_{name}", says, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
