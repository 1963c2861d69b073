"""The crew, the tally and the bounded body, by themselves."""

import asyncio
import contextlib
import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.crawl import MAX_FAILURES, Tally, Work, crawl
from crawler.decode import Body, gunzip
from crawler.outcomes import Failed, Gone
from crawler.paths import Site
from milepost.errors import FetchError, RefusedError

BASE = "https://timeline.example"
SITE = Site.of(BASE)
KIB = 1024


def drained(work, handle):
    asyncio.run(work.drain(handle))


class TestTheCrew:
    def test_each_path_once_also_those_a_handler_adds(self):
        work, done = Work(3, max_pages=100), []

        async def handle(path, kind):
            done.append((path, kind))
            await asyncio.sleep(0)
            if len(path) < 4:
                work.add(path + "a", "milestone")
                work.add("/", "listing")

        work.add("/", "listing")
        work.add("/", "milestone")
        drained(work, handle)
        assert sorted(done) == [("/", "listing"), ("/a", "milestone"), ("/aa", "milestone"), ("/aaa", "milestone")]

    def test_never_more_at_once_than_workers(self):
        work, running, most = Work(3, max_pages=100), 0, 0

        async def handle(_path, _kind):
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.001)
            running -= 1

        for number in range(20):
            work.add(f"/{number}", "milestone")
        drained(work, handle)
        assert most == 3

    def test_the_first_error_stops_all_and_is_raised_as_it_is(self):
        work, done = Work(4, max_pages=100), []

        async def handle(path, _kind):
            await asyncio.sleep(0)
            if path == "/2":
                raise ValueError("no")
            done.append(path)

        for number in range(50):
            work.add(f"/{number}", "milestone")
        with pytest.raises(ValueError, match="no"):
            drained(work, handle)
        assert done == ["/0", "/1"]

    def test_nothing_to_do(self):
        drained(Work(4, max_pages=1), None)

    def test_pages_beyond_the_limit_are_counted(self):
        work = Work(1, max_pages=2)
        for path in ("/a", "/b", "/a", "/c", "/d"):
            work.add(path, "milestone")
        assert work.refused == 2


def test_an_interrupted_look_has_handed_on_what_it_had(web, look):
    web.milestones(*(f"m{number}" for number in range(30)))
    outcomes = []

    async def run():
        task = asyncio.current_task()
        assert task is not None

        def on_page(outcome):
            outcomes.append(outcome)
            if len(outcomes) == 5:
                task.cancel()

        await crawl(look.plan(), memory=look.memory, on_page=on_page, now=lambda: look.start)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())
    assert 5 <= len(outcomes) < 30


def test_bodies_are_not_kept(web, look):
    web.milestones(*(f"m{number}" for number in range(150)))
    big = web.html("x" * 200 * KIB)
    for number in range(150):
        web.pages[f"/timeline/m{number}"] = big
    tracemalloc.start()
    try:
        report = look(on_page=lambda _: None).report
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert report.fetched == 151
    assert peak < 10 * KIB * KIB  # all the bodies are 30 MiB


class TestTheTally:
    def test_failures_are_all_counted_and_some_kept(self):
        tally = Tally(SITE)
        for number in range(MAX_FAILURES + 5):
            tally.count(Failed(url=f"{BASE}/{number}", kind="milestone", error=FetchError("no")))
        report = tally.report(0, complete=True)
        assert (report.failed, len(report.failures)) == (MAX_FAILURES + 5, MAX_FAILURES)

    def test_who_found_what(self):
        tally = Tally(SITE)
        for path, finder in (("/a", "sitemap"), ("/a", "listing"), ("/b", "known"), ("/c", "redirect")):
            tally.found(path, finder)
        report = tally.report(0, complete=True)
        assert dict(report.found_by) == {
            f"{BASE}/a": {"sitemap", "listing"}, f"{BASE}/b": {"known"}, f"{BASE}/c": {"redirect"},
        }
        assert len(report.found_by) == 3
        assert report.listed == {f"{BASE}/a"}
        assert [one in report.listed for one in (f"{BASE}/a", f"{BASE}/b", "/a")] == [True, False, False]
        assert (len(report.listed), report.listed - {f"{BASE}/a"}) == (1, frozenset())
        with pytest.raises(KeyError):
            report.found_by["https://elsewhere.example/a"]

    @pytest.mark.parametrize(
        ("found", "kept"),
        [
            ([("/A", "sitemap"), ("/a", "sitemap")], "/A"),
            ([("/A", "sitemap"), ("/a", "listing")], "/a"),
            ([("/A", "listing"), ("/a", "known")], "/a"),
            ([("/a", "known"), ("/A", "known")], "/a"),
        ],
        ids=["first", "linked", "known", "first-known"],
    )
    def test_one_spelling_is_kept(self, found, kept):
        tally = Tally(SITE)
        for path, finder in found:
            tally.found(path, finder)
        tally.settle()
        assert list(tally.paths) == [kept]
        tally.count(Gone(url=BASE + kept, kind="milestone", status=404))
        other = tally.recall(kept)
        assert len(other) == 1
        assert set(tally.paths) == {"/A", "/a"}
        assert tally.recall(kept) == []


def unpacked(coding, data, *, step=7, max_body=10_000, cut=False):
    body = Body(coding, max_wire=1_000_000, max_body=max_body, where="x", cut=cut)
    for start in range(0, len(data), step):
        if body.feed(data[start : start + step]):
            break
    return body.finish()


def raw_deflate(data):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


CODINGS = {
    "none": ("", lambda data: data),
    "identity": ("identity", lambda data: data),
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("X-GZIP", gzip.compress),
    "gzip-members": ("gzip", lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:])),
    "gzip-and-dirt": ("gzip", lambda data: gzip.compress(data) + b"\0\0dirt"),
    "deflate": ("deflate", zlib.compress),
    "deflate-raw": ("deflate", raw_deflate),
}


class TestTheBody:
    @pytest.mark.parametrize(("coding", "pack"), CODINGS.values(), ids=CODINGS.keys())
    @settings(max_examples=25, deadline=None)
    @given(data=st.binary(max_size=3000), step=st.integers(2, 4000))
    def test_what_was_packed_comes_out(self, coding, pack, data, step):
        assert unpacked(coding, pack(data), step=step) == data

    @pytest.mark.parametrize(("coding", "pack"), CODINGS.values(), ids=CODINGS.keys())
    def test_one_byte_too_many_is_refused_or_cut(self, coding, pack):
        data = bytes(10_001)
        assert unpacked(coding, pack(data[1:]), step=50) == data[1:]
        with pytest.raises(RefusedError, match="more than 10000 bytes"):
            unpacked(coding, pack(data), step=50)
        assert unpacked(coding, pack(data), step=50, cut=True) == data[1:]

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate"]))
    def test_garbage_is_an_error_and_never_a_crash(self, data, coding):
        with contextlib.suppress(FetchError):
            assert len(unpacked(coding, data)) <= 10_000

    @pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
    def test_a_cut_file_gives_what_it_has(self, keep):
        packed = gzip.compress(b"".join(b"%d " % (number * 7919) for number in range(3000)))
        data, cut = gunzip(packed[: int(len(packed) * keep)], max_body=100_000)
        assert cut
        assert data[:7] == b"0 7919 "
        assert gunzip(packed, max_body=100_000)[1] is False
