"""Dates as people write them: what is certain is read, what may be two dates is none and says why."""

import datetime as dt
from functools import cache

import pytest
from babel import Locale, localedata
from babel.dates import format_date, get_month_names
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extractors import registry
from extractors.date_words import date_words
from extractors.written_dates import read_date
from milepost.codec import milestone_from_json, milestone_to_json
from milepost.records import Page


def value(text, language=""):
    date = read_date(text, language).date
    return date.value if date else None


@pytest.mark.parametrize(("text", "value_"), [
    ("1957", "1957"), ("2012-09", "2012-09"), ("2012.09", "2012-09"), ("2022-11-30", "2022-11-30"),
    ("2022-11-30T10:00:00Z", "2022-11-30"), ("September 2012", "2012-09"), ("Sept. 2012", "2012-09"),
    ("30 November 2022", "2022-11-30"), ("Nov 30, 2022", "2022-11-30"), ("November 30th, 2022", "2022-11-30"),
    ("2012-13", None), ("2022-02-30", None), ("0000", None), ("soon", None), ("", None), (None, None),
    ("Smarch 2012", None), ("12", None), ("20120", None), ("404", None), ("8 June 79", None), ("June 79", None),
    ("11th of March 2011", "2011-03-11"), ("Saturday, March 19, 1932", "1932-03-19"), ("8 June 793", "0793-06-08"),
    ("Fri, 11 Mar 2011 14:46:23 GMT", "2011-03-11"), ("Fri Mar 11 14:46:23 2011", "2011-03-11"),
    ("March 11, 2011 at 2:46 p.m. (JST)", "2011-03-11"), ("19-Mar-1932", "1932-03-19"), ("AD 79", "0079"),
    ("March 3 AD 11", None), ("Q3 2012", None), ("the 1960s", None), ("3 days ago", None), ("31 February 1932", None),
], ids=repr)
def test_english_and_iso_need_no_language(text, value_):
    assert value(text) == value_
    assert value(text, "en") == value_


@pytest.mark.parametrize(("text", "language", "day"), [
    ("3. Oktober 1990", "de", "1990-10-03"), ("4. Jänner 1990", "de-AT", "1990-01-04"),
    ("Mittwoch, den 3. Oktober 1990, 10:30 Uhr", "de", "1990-10-03"), ("14 juillet 1989", "fr-FR", "1989-07-14"),
    ("1er mars 1932", "fr", "1932-03-01"), ("19 mars 1932", "sv", "1932-03-19"), ("2011年3月11日", "ja", "2011-03-11"),
    ("2011年3月11日(金)", "ja", "2011-03-11"), ("2011年3月", "zh-Hant-TW", "2011-03"),
    ("2011년 3월 11일", "ko", "2011-03-11"),
    ("14 במאי 1948", "he", "1948-05-14"), ("11 марта 2011 г.", "ru", "2011-03-11"), ("март 2011", "ru", "2011-03"),
    ("1 de mayo de 1886", "es", "1886-05-01"), ("ngày 11 tháng 3 năm 2011", "vi", "2011-03-11"),
    ("۱۱ مارس ۲۰۱۱", "fa", "2011-03-11"), ("11 มีนาคม ค.ศ. 2011", "th", "2011-03-11"),
    ("2011(e)ko martxoaren 11(a)", "eu", "2011-03-11"), ("listopad 1990", "pl", "1990-11"),
    ("listopad 1990", "hr", "1990-10"),  # one word, two months: the language tells which
    ("14 de febrer de 2010", "ca", "2010-02-14"), ("12 de junio del 2012", "es", "2012-06-12"),
    ("28 октября 2014 в 07:54", "ru", "2014-10-28"), ("22 janvier 2015 à 14:40", "fr", "2015-01-22"),
    ("March 19, 1932", "de", "1932-03-19"), ("11. mars 2011", "no", "2011-03-11"),
], ids=repr)
def test_a_date_in_the_language_of_its_page(text, language, day):
    assert value(text, language) == day


@pytest.mark.parametrize(("text", "language", "why"), [
    ("19 mars 1932", "", "the page gives no language"),
    ("3. Oktober 1990", "en", "the page's language, “en”"),
    ("03/04/1932", "en", "may be 3 April 1932 or 4 March 1932"),
    ("03/04/1932", "fr", "may be 3 April 1932 or 4 March 1932"),
    ("1932-3-4", "ky", "may be"),  # that language also writes the day before the month
    ("753 BC", "en", "before our era"), ("753 v. Chr.", "de", "before our era"), ("-0752-01-01", "", "before our era"),
    ("Friday, March 19, 1932", "en", "was a Saturday"), ("31 February 1932", "en", "no such day"),
    ("11 มีนาคม 2554", "th", "another calendar"), ("1390/3/25", "fa", "another calendar"),
    ("1432", "ar", None), ("100年3月11日", "zh-TW", "another calendar"), ("March 2554", "th", "another calendar"),
    ("2001–02", "en", "can't be read"),  # February, or the season
], ids=repr)
def test_what_is_not_certain_is_unknown_and_says_why(text, language, why):
    reading = read_date(text, language)
    if why is None:  # four figures alone are ISO 8601
        assert reading.date is not None
        assert reading.date.value == text
    else:
        assert reading.date is None
        assert why in reading.why
        assert text in reading.why


@pytest.mark.parametrize(("text", "day"), [
    ("03/19/1932", "1932-03-19"), ("19/03/1932", "1932-03-19"), ("04/04/1932", "1932-04-04"),
    ("1932/3/4", "1932-03-04"),
    ("3/1932", "1932-03"), ("13/1932", None), ("19/19/1932", None), ("30/2/1932", None), ("3/4/32", None),
], ids=repr)
def test_figures_are_read_where_only_one_order_is_possible(text, day):
    assert value(text) == day


def test_figures_with_full_stops_follow_a_language_that_has_one_order_everywhere():
    assert value("03.04.1932", "de") == "1932-04-03"
    assert value("03.04.1932", "en") is None
    assert value("03.04.1932") is None


@pytest.mark.parametrize(("text", "language", "form"), [
    ("1957–1960", "en", ("1957", True, False, "1960")), ("1957–60", "en", ("1957", True, False, "1960")),
    ("1957/1960", "", ("1957", True, False, "1960")), ("1957/..", "", ("1957", True, False, "..")),
    ("1957–present", "en", ("1957", True, False, "..")), ("1914 bis 1918", "de", ("1914", True, False, "1918")),
    ("3–5 March 1932", "en", ("1932-03-03", True, False, "1932-03-05")),
    ("March 3–5, 1932", "en", ("1932-03-03", True, False, "1932-03-05")),
    ("28 December 1931 to 3 January 1932", "en", ("1931-12-28", True, False, "1932-01-03")),
    ("3. bis 5. März 1932", "de", ("1932-03-03", True, False, "1932-03-05")),
    ("c. 1440", "en", ("1440", False, True, None)), ("ca. 1440", "de", ("1440", False, True, None)),
    ("1440年頃", "ja", ("1440", False, True, None)), ("c. 1440–1450", "en", ("1440", False, True, "1450")),
], ids=repr)
def test_stretches_and_circa_keep_what_is_certain_and_say_so(text, language, form):
    date = read_date(text, language).date
    assert date is not None
    assert (date.value, date.confirmed, date.circa, date.until) == form


@pytest.mark.parametrize("text", ["1960–1957", "5–3 March 1932", "1957 – March 1960", "509 – 753 BC", "1957 –"])
def test_a_stretch_that_does_not_hold_is_unknown(text):
    assert read_date(text, "en").date is None


def test_a_word_that_is_a_weekday_and_a_month_is_both_and_the_calendar_settles_it():
    assert value("mar 15 mar 1932", "es") == "1932-03-15"  # martes, marzo
    assert value("mar 16 mar 1932", "es") is None


LOCALES = sorted(localedata.locale_identifiers())


@cache
def locale(name):
    return Locale.parse(name)


DATED = given(
    st.sampled_from(LOCALES), st.dates(dt.date(1000, 1, 1), dt.date(2200, 12, 31)),
    st.sampled_from(["long", "medium", "full"]),
)


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@DATED
def test_a_locales_own_form_of_a_date_is_that_date_or_unknown(name, day, form):
    is_that_date_or_unknown(name, day, form)


@pytest.mark.chaos
@settings(max_examples=6000, deadline=None, suppress_health_check=list(HealthCheck))
@DATED
def test_every_locales_own_form_of_a_date_is_that_date_or_unknown(name, day, form):
    is_that_date_or_unknown(name, day, form)


def is_that_date_or_unknown(name, day, form):
    text = format_date(day, form, locale=locale(name))
    for language in (name.replace("_", "-"), name.partition("_")[0]):
        date = read_date(text, language).date
        assert date is None or (date.value, date.until, date.circa) == (day.isoformat(), None, False), (text, language)


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.text(max_size=90) | st.lists(st.sampled_from(
    ["1", "12", "1932", "may", "mar", "of", "-", "–", "to", "c.", "BC", "AD", "(", ")", "Fri", "3rd", "/", "..",
     "at 3:15"],
), max_size=25).map(" ".join), st.sampled_from(["en", "fr", "es", "ja", "vi", "th", "xx", "x" * 99, "de-\x00", ""]))
def test_whatever_the_text_a_date_or_a_reason(text, language):
    reading = read_date(text, language)
    assert reading.date is None or not reading.why


def test_what_a_process_read_before_changes_no_language():
    """Babel keeps the stand-alone names of the language that was asked first for others that have none."""
    for name in ("cs", "nl", "fi"):
        get_month_names("wide", "stand-alone", name)
    date_words.cache_clear()
    assert value("květen 2011", "cs") == "2011-05"
    assert value("5 mei 2011", "nl") == "2011-05-05"
    assert value("květen 2011", "nl") is None


PAGE = """<!doctype html><html lang="{lang}"><head><title>x</title></head><body><main><article>
<header><h1>The dam</h1><time>{date}</time></header><h2>What happened</h2><p>It was built.</p>
</article></main></body></html>"""


def read(lang, date):
    page = Page(url="https://dams.example/timeline/dam", text=PAGE.format(lang=lang, date=date))
    return registry.get("generic", {}).read(page, source="dams")


def test_a_page_is_read_in_its_own_language():
    assert read("de-CH", "3. Oktober 1990").date.value == "1990-10-03"


def test_a_date_that_could_not_be_read_is_in_the_record_with_the_reason():
    record = read("en", "03/04/1932")
    assert record.date is None
    assert "date" in record.unknown
    assert "3 April 1932 or 4 March 1932" in record.evidence["unread"][0].says


def test_marks_live_through_json_and_are_absent_where_there_is_none():
    marked = read("en", "c. 1440–1450")
    again = milestone_from_json(milestone_to_json(marked))
    assert again.date == marked.date
    assert milestone_to_json(marked)["date"] == {
        "value": "1440", "precision": "year", "confirmed": False, "circa": True, "until": "1450",
    }
    assert set(milestone_to_json(read("en", "1440"))["date"]) == {"value", "precision", "confirmed"}


def test_a_changelog_may_write_its_dates_out():
    text = (
        "# Changes\n\n## [1.3.0] - March 4, 2026\n- One.\n\n## 1.2.0 (03/04/2026)\n- Two.\n\n"
        "## 1.1.0 - The big one\n- Three.\n\n## 1.0.0\n- Four.\n"
    )
    page = Page(url="https://tools.example/CHANGELOG.md", text=text)
    found = registry.get("keepachangelog", {}).read_many(page, source="tools")
    assert [(one.title, one.date and one.date.value) for one in found] == [
        ("1.3.0", "2026-03-04"), ("1.2.0", None), ("1.0.0", None),
    ]
    assert "may be" in (found[1].evidence["unread"][0].says or "")
    assert "unread" not in found[2].evidence
