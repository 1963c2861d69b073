"""Every word of ours that readers see, in mails and on the web: the shape of a language, and English."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from babel.dates import get_day_names, get_month_names

from milepost.dates import PartialDate
from milepost.fields import FIELD
from milepost.records import Cadence


@dataclass(frozen=True, kw_only=True, slots=True)
class Phrases:
    """One language; {names} are filled in with str.format; months and weekdays are named as in `locale` (CLDR)."""

    locale: str

    # the subject line and what stands beside it in the inbox
    test: str  # before the subject of a test mail
    one_correction: str
    and_one_more: str
    and_more: str
    untitled: str
    and_a_correction: str
    and_more_corrections: str
    many_news: str
    many_corrections: str
    also: str

    # the masthead
    issue: str
    weekday_and_day: str
    one_new: str
    many_new: str
    one_corrected: str
    many_corrected: str
    in_this_issue: str
    in_this_issue_among: str
    contents_more: str
    in_brief: str

    # a milestone
    new: str
    also_new: str
    undated: str
    impact: str
    era: str
    neighbours: str
    before: str
    after: str
    picture_from: str
    read_on: str
    read_on_about: str
    read_rest: str
    one_left_out: str
    many_left_out: str

    # corrections
    corrected: str
    impact_value: str
    nothing: str
    another_picture: str
    date_settled: str
    first_seen: str
    seen_and_corrected: str
    corrected_on: str
    withdrawn_on: str
    correction_told: str

    # the colophon
    why_you: str
    no_tracking: str
    read_on_web: str
    preferences: str
    unsubscribe: str
    rhythms: Mapping[Cadence, str]

    # the pages
    all_issues: str
    also_in: str
    numbered: Mapping[Cadence, str]
    first_to_come: str
    no_trackers: str
    feeds: str
    earlier: str
    later: str
    missing_title: str
    missing: str
    missing_hint: str
    refused_title: str
    refused: str
    refused_hint: str
    unable_title: str
    unable: str
    unable_hint: str
    try_again: str
    broken_hint: str
    leave: str
    leave_hint: str
    leave_about: str
    leave_about_hint: str
    leave_unknown_title: str
    leave_unknown: str
    leave_unknown_hint: str
    leave_only_title: str
    leave_only: str
    leave_only_hint: str
    leave_only_link: str
    choice_title: str
    choice: str
    choice_hint: str
    how_often: str
    about_what: str
    about_hint: str
    categories: str
    tags: str
    save: str
    saved: str
    or_choose: str
    left_title: str
    left: str
    left_hint: str

    # the timeline
    timeline: str
    timeline_counted: str
    timeline_empty: str
    search: str
    search_for: str
    search_found: str
    search_nothing: str
    page_of: str
    page_before: str
    page_after: str
    eras: str
    about_topic: str
    history: str
    completed_on: str
    reread_on: str
    restored_on: str
    moved_on: str
    withdrawn: str
    where_read: str
    where_read_hint: str
    read_by: str
    imported_on: str
    disputed: str
    told_in: str
    beside_it: str
    read_at: str
    story_of: str
    milestones_feed: str
    changes_feed: str
    issues_feed: str
    missing_milestone: str
    missing_milestone_hint: str
    places_read: Mapping[str, str]  # by witness

    # signing up
    subscribe: str
    forwarded: str
    subscribe_to: str
    subscribe_hint: str
    embed_next: str
    your_address: str
    address_wrong: str
    domain_doubt: str
    domain_instead: str
    domain_sure: str
    trap: str
    form_stale: str
    proof_working: str
    proof_done: str
    proof_failed: str
    proof_no_script: str
    proof_missing: str
    proof_script: str
    proof_contact: str
    asked_title: str
    asked: str
    asked_hint: str
    asked_later: str
    closed: str
    closed_hint: str
    confirm: str
    confirm_hint: str
    confirm_press: str
    about_everything: str
    about_these: str
    link_unknown: str
    link_unknown_hint: str
    welcome_title: str
    welcome: str
    welcome_hint: str
    read_latest: str
    letter_confirm: str
    letter_confirm_preheader: str
    letter_asked: str
    letter_not_you: str
    letter_not_you_either: str
    letter_remind: str
    letter_reminded: str
    letter_welcome: str
    letter_by_hand: str

    # a reader's own page
    language: str
    language_hint: str
    pause: str
    pause_hint: str
    pause_for: str
    pause_weeks: str
    pause_month: str
    pause_months: str
    pause_date: str
    pause_date_wrong: str
    pause_then: str
    pause_digest: str
    pause_skip: str
    pause_press: str
    paused: str
    paused_digest: str
    paused_skip: str
    resume: str
    resumed: str
    move: str
    move_hint: str
    move_new: str
    move_same: str
    move_press: str
    move_asked: str
    move_asked_hint: str
    move_asked_later: str
    move_confirm: str
    move_confirm_hint: str
    move_confirm_press: str
    move_done: str
    move_done_hint: str
    move_undo: str
    move_undo_hint: str
    move_undo_press: str
    move_undone: str
    move_undone_hint: str
    letter_move: str
    letter_move_said: str
    letter_move_not_you: str
    letter_moved: str
    letter_moved_said: str
    letter_moved_was_you: str
    letter_goodbye: str
    letter_goodbye_said: str
    letter_goodbye_undo: str
    kept: str
    kept_hint: str
    kept_press: str
    erase: str
    erase_hint: str
    erase_open: str
    erase_ask: str
    erase_ask_hint: str
    erase_press: str
    erase_no: str
    erased_title: str
    erased: str
    erased_hint: str
    undo: str
    undo_hint: str
    undo_press: str
    too_often: str
    too_often_press: str
    back: str
    back_hint: str
    back_closed: str
    back_closed_hint: str
    to_your_page: str
    unknown_sign_up: str

    # dates and slugs
    day_form: str
    month_form: str
    circa: str
    since: str
    from_to: str
    no_year: str = "—"
    acronyms: frozenset[str] = frozenset({"ai", "agi", "api", "cpu", "gpu", "llm", "nlp", "rl", "tpu", "uk", "us"})

    def field(self, name: str) -> str:
        """What readers see a field of a milestone called; in English where the registry has no other word."""
        labels = FIELD[name].labels
        return labels.get(self.locale, labels["en"])

    @property
    def why(self) -> str:
        """The heading over why a milestone mattered."""
        return self.field("why_it_mattered")

    def date(self, date: PartialDate | None) -> str:
        """A date to the precision that is known; "" when there is none."""
        if date is None:
            return ""
        if date.month is None:
            text = str(date.year)
        elif date.day is None:
            text = self.month_form.format(month=self._month(date.month), year=date.year)
        else:
            text = self._day(date.year, date.month, date.day)
        if date.circa:
            text = self.circa.format(date=text)
        if date.until == "..":
            return self.since.format(date=text)
        return self.from_to.format(start=text, end=self.date(PartialDate(value=date.until))) if date.until else text

    def numbered_issue(self, number: int, cadence: Cadence, sequence: int | None) -> str:
        """What readers see an issue called: by its place in its cadence, or by its number where it has none."""
        if sequence is None:
            return self.issue.format(number=number)
        return self.numbered[cadence].format(number=sequence)

    def plain_day(self, moment: dt.date) -> str:
        """A day of our own calendar."""
        return self._day(moment.year, moment.month, moment.day)

    def day(self, moment: dt.date) -> str:
        """A day of our own calendar, with its weekday."""
        weekday = get_day_names("wide", "format", self.locale)[moment.weekday()]
        return self.weekday_and_day.format(weekday=weekday, date=self.plain_day(moment))

    def _day(self, year: int, month: int, day: int) -> str:
        return self.day_form.format(day=day, month=self._month(month), year=year)

    def _month(self, month: int) -> str:
        # Babel 2.18 mixes up the "stand-alone" names of languages that are used in one process.
        return str(get_month_names("wide", "format", self.locale)[month])

    def label(self, slug: str | None) -> str:
        """A slug as words: "deep-learning" → "Deep learning", "ai-winter" → "AI winter"; "" for None."""
        words = [word.upper() if word in self.acronyms else word for word in (slug or "").replace("-", " ").split()]
        text = " ".join(words)
        return text[:1].upper() + text[1:]

    def tally(self, news: int, corrections: int) -> str:
        """What an issue holds: "2 new milestones, 1 correction"."""
        parts = []
        if news:
            parts.append(self.one_new if news == 1 else self.many_new.format(count=news))
        if corrections:
            parts.append(self.one_corrected if corrections == 1 else self.many_corrected.format(count=corrections))
        return ", ".join(parts)

    def left_out(self, count: int) -> str:
        """What a shortened issue says about the milestones that it does not show; "" for none."""
        if not count:
            return ""
        return self.one_left_out if count == 1 else self.many_left_out.format(count=count)


ENGLISH = Phrases(
    locale="en",
    test="[Test]",
    one_correction="Correction: {title}",
    and_one_more="{title}, and one more",
    and_more="{title}, and {rest} more",
    untitled="A milestone without a title",
    and_a_correction="{title}, and a correction",
    and_more_corrections="{title}, and {rest} corrections",
    many_news="{count} new milestones: {title}, …",
    many_corrections="{count} corrections: {title}, …",
    also="Also: {titles}",
    issue="Issue {number}",
    weekday_and_day="{weekday}, {date}",
    one_new="1 new milestone",
    many_new="{count} new milestones",
    one_corrected="1 correction",
    many_corrected="{count} corrections",
    in_this_issue="In this issue",
    in_this_issue_among="In this issue, and what stands beside it",
    contents_more="and {count} more",
    in_brief="In a line each",
    new="New on the timeline",
    also_new="Also new on the timeline",
    undated="Undated",
    impact="Impact {impact} of 5",
    era="{era} era",
    neighbours="Where it stands",
    before="Before it",
    after="After it",
    picture_from="Picture: {place}",
    read_on="Read on the timeline",
    read_on_about="{text}: {title}",
    read_rest="Read the rest on the timeline",
    one_left_out="One more milestone is on the page of this issue.",
    many_left_out="{count} more milestones are on the page of this issue.",
    corrected="Corrected since we wrote",
    impact_value="{impact} of 5",
    nothing="nothing",
    another_picture="another picture",
    date_settled="{date}, now certain",
    first_seen="First seen {day}",
    seen_and_corrected="First seen {day} · corrected {corrected}",
    corrected_on="Corrected on {day}",
    withdrawn_on="Withdrawn on {day}: its source no longer shows it",
    correction_told="The issue that told the correction",
    why_you="You get this because you asked {name} to write to you {rhythm}.",
    no_tracking="Nothing in this mail tells us whether you opened it.",
    read_on_web="Read this issue on the web",
    preferences="Change how often, or about what",
    unsubscribe="Unsubscribe",
    rhythms=MappingProxyType({
        "instant": "as milestones are added", "daily": "every day", "weekly": "every week", "monthly": "every month",
    }),
    all_issues="All issues",
    also_in="Also in:",
    numbered=MappingProxyType({
        "instant": "Instant no. {number}", "daily": "Daily no. {number}", "weekly": "Weekly no. {number}",
        "monthly": "Monthly no. {number}",
    }),
    first_to_come="The first one is still to come.",
    no_trackers="No scripts, no cookies, no trackers on this page.",
    feeds="Follow without mail:",
    earlier="Earlier",
    later="Later",
    missing_title="Not here",
    missing="There is nothing here",
    missing_hint="Perhaps it is among all issues.",
    refused_title="Not possible",
    refused="That is not possible here",
    refused_hint="This page can't be used in that way. All issues are a good place to start.",
    unable_title="Not now",
    unable="Not at the moment",
    unable_hint="Something on our side is not available. Please try again in a minute; nothing was changed.",
    try_again="Try again",
    broken_hint="Something went wrong on our side. It was noted; please try again later.",
    leave="Leave {name}?",
    leave_hint="One press and no further issue will be sent to you. Nothing else is asked.",
    leave_about="How to unsubscribe",
    leave_about_hint="Every issue ends with a link that is yours alone. Open it and press the button; "
    "no password is needed.",
    leave_only_title="An older link",
    leave_only="This link only unsubscribes",
    leave_only_hint="It was replaced for your safety. The links in newer mails do everything, as before.",
    leave_only_link="Sign up again with your address for a new link",
    leave_unknown_title="Link not known",
    leave_unknown="This link is not complete",
    leave_unknown_hint="Mail programs sometimes break long links. Please open the unsubscribe link in the mail itself, "
    "or copy it whole.",
    choice_title="Your choice",
    choice="What would you like to hear?",
    choice_hint="From the next issue on. Nobody but you can open this page, and nothing else about you is asked.",
    how_often="How often",
    about_what="About what",
    about_hint="Choose nothing here, and you hear of everything.",
    categories="Subjects",
    tags="Topics",
    save="Save",
    saved="Saved. The next issue will follow your choice.",
    or_choose="Rather hear less often, or of fewer things?",
    left_title="Unsubscribed",
    left="You are unsubscribed",
    left_hint="{name} will not write to you again. Thank you for having read it.",
    timeline="The timeline",
    timeline_counted="{count} milestones, each with its history and with where its facts were read.",
    timeline_empty="Nothing is on record yet.",
    search="Search",
    search_for="Search the timeline",
    search_found="Found with the words “{words}”: {count}",
    search_nothing="No milestone has all of these words. Fewer words, or the beginning of one, find more.",
    page_of="{number} of {count}",
    page_before="Page before",
    page_after="Next page",
    eras="Eras",
    about_topic="About {topic}",
    history="Its history",
    completed_on="Filled in on {day}",
    reread_on="Read again by us, more exactly, on {day}",
    restored_on="On its site again since {day}",
    moved_on="Found at another address on {day}",
    withdrawn="Withdrawn",
    where_read="Where each fact was read",
    where_read_hint="A fact that several places tell alike is a fact that is hard to get wrong.",
    read_by="Read {day}: {place}",
    imported_on="Brought in from a file on {day}",
    disputed="Another place says: {says}",
    told_in="Issues that told of it",
    beside_it="Beside it on the timeline",
    read_at="Read it at {site}",
    story_of="History and sources",
    milestones_feed="Milestones",
    changes_feed="Changes",
    issues_feed="Issues",
    missing_milestone="No milestone has this address",
    missing_milestone_hint="Search for it, or begin with the whole timeline.",
    places_read=MappingProxyType({
        "json-ld": "the page's data for programs",
        "microdata": "the page's marked words",
        "headings": "the text of the page",
        "card": "a card on another page",
        "text": "the page as plain text",
    }),
    subscribe="Subscribe",
    forwarded="Was this forwarded to you? Subscribe",
    subscribe_to="Subscribe to {name}",
    subscribe_hint="First comes one mail with a button, so that nobody can sign up somebody else, and one reminder if "
    "it isn't pressed. After that, at most a word of welcome and the issues that you choose. Every one of them has a "
    "link to leave, no mail tells us whether it was opened, and your address is given to nobody.",
    embed_next="How often, and about what, is chosen on the next page.",
    your_address="Your e-mail address",
    address_wrong="No mail can be sent to this address. Is it spelt right?",
    domain_doubt="It seems that {domain} takes no mail. Is that spelt right?",
    domain_instead="I meant {address}",
    domain_sure="Yes, send it anyway",
    trap="Leave this field empty",
    form_stale="Please look at it once more, then press the button.",
    proof_working="Your browser is calculating something that keeps programs out. It takes a few seconds.",
    proof_done="Your browser is done: the form can be sent.",
    proof_failed="Your browser could not calculate what keeps programs out. Press the button to try again.",
    proof_no_script="Scripts are off in your browser. This form needs one of ours, which keeps programs out and tells "
    "nobody anything: please allow it for this page.",
    proof_missing="The short calculation that keeps programs out did not reach us in time. What you typed is still "
    "here: please press the button once more.",
    proof_script="One script, our own, which keeps programs out. No cookies, no trackers on this page.",
    proof_contact="Or write to {address} and ask to be signed up.",
    asked_title="Look into your inbox",
    asked="One more press",
    asked_hint="A mail is on its way to the address that you gave. Open it and press its button: only then are you "
    "signed up.",
    asked_later="Nothing there after some minutes? Look among the unwanted mail, or try again tomorrow.",
    closed="Nobody can sign up at the moment",
    closed_hint="All issues can be read here, and followed without mail.",
    confirm="Shall {name} write to you?",
    confirm_hint="{rhythm}, {about}.",
    confirm_press="Yes, sign me up",
    about_everything="about everything",
    about_these="about {topics}",
    link_unknown="This link does not lead on",
    link_unknown_hint="It was used already, it is older than thirty days, or a mail program broke it. "
    "You can sign up again at any time.",
    welcome_title="Signed up",
    welcome="You are signed up",
    welcome_hint="{name} will write to you {rhythm}, {about}.",
    read_latest="Read the latest issue",
    letter_confirm="Please confirm: {name}",
    letter_confirm_preheader="One press, and you are signed up.",
    letter_asked="Somebody asked {name} to write to this address {rhythm}. Was it you? Then press the button.",
    letter_not_you="Was it not you? Then you need do nothing: without the button nothing follows but one reminder, and "
    "after thirty days this address is forgotten.",
    letter_not_you_either="Was it not you? Then you need do nothing: this was the last mail, and after thirty days "
    "this address is forgotten.",
    letter_remind="Still waiting for you: {name}",
    letter_reminded="A while ago somebody asked {name} to write to this address {rhythm}, and nobody has confirmed it "
    "yet. Was it you? Then press the button.",
    letter_welcome="Welcome to {name}",
    letter_by_hand="If the button does not work, copy this address:",
    language="Language",
    language_hint="Of your mails and of this page.",
    pause="Pause",
    pause_hint="Away for a while, or too much to read? Nothing is sent to you until the day you choose; what is "
    "already on its way still comes.",
    pause_for="For how long",
    pause_weeks="Two weeks, until {day}",
    pause_month="A month, until {day}",
    pause_months="Three months, until {day}",
    pause_date="Until another day:",
    pause_date_wrong="Choose a day between tomorrow and a year from now.",
    pause_then="And what you miss?",
    pause_digest="Tell me afterwards, all in one mail",
    pause_skip="Leave it out",
    pause_press="Pause",
    paused="You are pausing until {day}",
    paused_digest="Nothing is sent to you before that day. The next issue after it also tells what you missed.",
    paused_skip="Nothing is sent to you before that day, and what you miss is left out.",
    resume="Go on now",
    resumed="You hear from us again, from the next issue on.",
    move="Change your address",
    move_hint="We write to {address} now. A mail with a button goes to the new address; only its press changes "
    "anything, and the old address is told.",
    move_new="Your new address",
    move_same="This is the address that we write to already.",
    move_press="Send the mail",
    move_asked="Look into the new inbox",
    move_asked_hint="A mail is on its way to the new address. Until its button is pressed, we go on writing to the "
    "old one.",
    move_asked_later="Nothing there after some minutes? Look among the unwanted mail, check how the address is "
    "spelt, or ask once more tomorrow.",
    move_confirm="Shall {name} write here from now on?",
    move_confirm_hint="To {address}, and no more to the address until now. Your choice and your history stay as "
    "they are.",
    move_confirm_press="Yes, write here",
    move_done="Your address is changed",
    move_done_hint="{name} will write to {address}. The old address is told once, and can undo it for thirty days.",
    move_undo="Was it not you?",
    move_undo_hint="Somebody who has your link gave {name} another address. One press, and we write to {address} "
    "again.",
    move_undo_press="Write here again",
    move_undone="As it was before",
    move_undone_hint="{name} writes to {address} again. Whoever has your link could ask once more: don't forward "
    "mails with it.",
    letter_move="Please confirm your new address: {name}",
    letter_move_said="A reader asked {name} to write to this address instead of another. Was it you? Then press "
    "the button.",
    letter_move_not_you="Was it not you? Then you need do nothing: without the button nothing follows, and after "
    "thirty days this address is forgotten.",
    letter_moved="Your address was changed: {name}",
    letter_moved_said="{name} writes to another address from now on, as was asked on your page and confirmed "
    "there. Was it not you? Then press the button.",
    letter_moved_was_you="Was it you? Then you need do nothing: this was the last mail to this address.",
    letter_goodbye="You have left {name}",
    letter_goodbye_said="As you asked, {name} will not write to you again: this is the last mail. You need do nothing.",
    letter_goodbye_undo="Was it a mistake? Until {day} this brings you back, with the choice that you had:",
    kept="What is kept about you",
    kept_hint="Your address and choice, the proof that you asked, each issue that went to you and what your mail "
    "server answered. Nobody here knows whether you opened a mail.",
    kept_press="Download it all (JSON)",
    erase="Forget me",
    erase_hint="Takes away all of that, for good. It is asked once more first.",
    erase_open="Forget me …",
    erase_ask="Shall everything about you be erased?",
    erase_ask_hint="Your address, your choice, your history: gone, and nobody can bring them back. All that stays "
    "is a keyed hash, a number from which nobody can tell your address. It keeps {name} from ever writing to it "
    "again, also if somebody signs it up.",
    erase_press="Yes, erase everything",
    erase_no="No, keep it as it is",
    erased_title="Erased",
    erased="Everything about you is erased",
    erased_hint="All that stays is a keyed hash, from which nobody can tell your address. {name} will never write "
    "to it again.",
    undo="Was it a mistake?",
    undo_hint="Until {day} one press brings you back, with the choice that you had.",
    undo_press="Bring me back",
    too_often="Was it too often?",
    too_often_press="Come back like this",
    back="You are back",
    back_hint="{name} will write to you {rhythm}, {about}.",
    back_closed="This link does not bring you back any more",
    back_closed_hint="You left too long ago, or this address must not be written to. Signing up again takes one "
    "mail and one press.",
    to_your_page="Your own page",
    unknown_sign_up="Or sign up anew",
    day_form="{day} {month} {year}",
    month_form="{month} {year}",
    circa="c. {date}",
    since="since {date}",
    from_to="{start} – {end}",
)
