"""Pages that a crawl need not ask for, as their sitemap says that they are as they were."""

from tests.crawler.conftest import BASE

MAY, JUNE = "2031-05-01", "2031-06-01"


def sitemap(web, dates, at="/sitemap.xml"):
    entries = "".join(f"<url><loc>{BASE}/timeline/{slug}</loc><lastmod>{date}</lastmod></url>"
                      for slug, date in dates.items())
    web.pages[at] = web.reply(200, f"<urlset>{entries}</urlset>", Content_Type="application/xml")


def of_may(_url, lastmod):
    """Whether the plan spares a page."""
    return lastmod == MAY


def test_they_are_counted_and_listed_and_not_asked_for(web, look):
    web.milestones("a", "b", "c")
    sitemap(web, {"a": MAY, "b": JUNE, "c": MAY})
    report = look(unchanged=of_may).report
    assert (report.not_asked, report.fetched, report.complete) == (2, 2, True)  # the listing, and b
    assert [web.times(f"/timeline/{slug}") for slug in "abc"] == [0, 1, 0]
    assert report.listed == {f"{BASE}/timeline/{slug}" for slug in "abc"}


def test_all_of_them(web, look):
    web.milestones("a")
    sitemap(web, {"a": MAY})
    assert look(unchanged=of_may, seeds=()).report.not_asked == 1


def test_without_a_plan_for_it_all_are_asked_for(web, look):
    web.milestones("a", "b")
    sitemap(web, {"a": MAY, "b": MAY})
    report = look().report
    assert (report.not_asked, report.fetched) == (0, 3)


def test_what_two_sitemaps_name_is_asked_for(web, look):
    web.milestones("a", "b")
    web.sitemap(f"{BASE}/one.xml", f"{BASE}/two.xml", index=True)
    sitemap(web, {"a": MAY, "b": MAY}, at="/one.xml")
    sitemap(web, {"b": JUNE}, at="/two.xml")
    assert look(unchanged=of_may).report.not_asked == 1
    assert [web.times("/timeline/a"), web.times("/timeline/b")] == [0, 1]


def test_a_page_that_fails_beside_them_is_no_source_that_is_down(web, look):
    web.milestones("a", "b")
    web.pages["/timeline/b"] = web.reply(500)
    sitemap(web, {"a": MAY, "b": JUNE})
    report = look(unchanged=of_may, seeds=()).report
    assert (report.not_asked, report.failed) == (1, 1)


def test_what_another_page_redirects_to_is_asked_for(web, look):
    web.milestones("a", "b")
    web.pages["/timeline/b"] = web.reply(301, Location="/timeline/a")
    sitemap(web, {"a": MAY, "b": JUNE})
    report = look(unchanged=of_may).report
    assert (report.not_asked, report.redirected, web.times("/timeline/a")) == (0, 1, 1)
