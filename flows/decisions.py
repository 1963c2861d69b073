"""The flows by which an operator decides in Prefect's own pages: forms with typed fields over the same functions.

    approve · release_hold · refuse_hold · resume_issue · stop_issue ─▶ pipeline.operators.decisions ─▶ what is so, kept
"""

from pathlib import Path
from typing import Any

from prefect import flow

from flows.parameters import Config, ContentHash, IssueNumber, LookNumber, Why
from flows.states import ended, in_sentences
from milepost.settings import load
from pipeline.operators import decisions
from pipeline.operators.acts import BY_A_FLOW
from pipeline.operators.decisions import Decisions
from pipeline.upkeep import open_database


@flow(name="approve", flow_run_name="approve issue {issue}")
@in_sentences
def approve(issue: IssueNumber, content_hash: ContentHash, config: Config = "milepost.toml") -> Any:
    """Approve a draft: exactly the content of that hash is frozen, and sent once its time for second thoughts is over.

    Args:
        issue: The issue's number.
        content_hash: Its hash, from the artifact of the run that drafted it or `milepost issue show`.
        config: The settings file, milepost.toml.
    """
    settings = load(Path(config))
    with open_database(settings) as database:
        counts = Decisions(settings, database).approve(issue, content_hash=content_hash, by=BY_A_FLOW)
    said = (f"issue {issue} is frozen for {counts.deliveries} readers; the first mail goes out in"
            f" {settings.newsletter.undo_minutes} minutes, and the deployment stop-issue takes it back till then")
    return ended((), said, {"issue": issue, "deliveries": counts.deliveries, "exclusions": dict(counts.exclusions)})


@flow(name="release-hold", flow_run_name="release look {look}")
@in_sentences
def release_hold(look: LookNumber, why: Why, config: Config = "milepost.toml") -> Any:
    """Let the changes of a held look through to the next issue; later looks are not held for the same.

    Args:
        look: The look's number, from the state of the run that is held or `milepost holds`.
        why: Your reason; it is kept.
        config: The settings file, milepost.toml.
    """
    settings = load(Path(config))
    with open_database(settings) as database:
        released = Decisions(settings, database).release(look, by=BY_A_FLOW, why=why)
    return ended((), decisions.released(released), {"look": look, "source": released.source})


@flow(name="refuse-hold", flow_run_name="refuse look {look}")
@in_sentences
def refuse_hold(look: LookNumber, why: Why, config: Config = "milepost.toml") -> Any:
    """Say that what a held look found was a fault: the record stays as it was, and the same is not asked again.

    Args:
        look: The look's number, from the state of the run that is held or `milepost holds`.
        why: Your reason; it is kept.
        config: The settings file, milepost.toml.
    """
    settings = load(Path(config))
    with open_database(settings) as database:
        done = Decisions(settings, database).refuse(look, by=BY_A_FLOW, why=why)
    return ended((), decisions.refused(done), {"look": look, "source": done.look.source})


@flow(name="resume-issue", flow_run_name="resume issue {issue}")
@in_sentences
def resume_issue(issue: IssueNumber, config: Config = "milepost.toml") -> Any:
    """Let a paused issue be sent again, by the next dispatch.

    Args:
        issue: The issue's number.
        config: The settings file, milepost.toml.
    """
    settings = load(Path(config))
    with open_database(settings) as database:
        Decisions(settings, database).resume(issue, by=BY_A_FLOW)
    return ended((), f"issue {issue} may be sent again; the next dispatch goes on with it", {"issue": issue})


@flow(name="stop-issue", flow_run_name="stop issue {issue}")
@in_sentences
def stop_issue(issue: IssueNumber, why: Why, config: Config = "milepost.toml") -> Any:
    """Stop an issue at any time: before its first mail it is a draft again, later it is paused.

    Args:
        issue: The issue's number.
        why: Your reason; it is kept.
        config: The settings file, milepost.toml.
    """
    settings = load(Path(config))
    with open_database(settings) as database:
        stopped = Decisions(settings, database).stop(issue, by=BY_A_FLOW, why=why)
    said = f"issue {issue} {'is a draft again: nothing was sent' if stopped.undone else 'is paused'}"
    return ended((), said, {"issue": issue, "undone": stopped.undone})
