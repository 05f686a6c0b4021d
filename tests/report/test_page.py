"""The page in a real browser: silent, self-contained, usable by keyboard and screen reader."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report.conftest import HOSTILE
from report.test_content import SECTIONS

from langmerge.report import Report, write
from langmerge.report.sections import document

pytest.importorskip("playwright", reason="playwright is not installed")
pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def page_file(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(report, tmp_path_factory.mktemp("report")).page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


class Opened:
    """A page with everything it said and asked for."""

    def __init__(self, browser: Browser, file: Path, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page: Page = self.context.new_page()
        self.said: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.as_uri())

    def __enter__(self) -> "Opened":
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()


def test_it_is_silent_and_asks_for_nothing(browser: Browser, page_file: Path) -> None:
    with Opened(browser, page_file) as opened:
        found = [section.get_attribute("id") for section in opened.page.locator("section").all()]
        assert found == SECTIONS
        assert opened.page.title().startswith("reported")
        assert opened.page.locator("img, iframe, object").count() == 0
        assert opened.page.get_by_text(HOSTILE).first.is_visible()
        assert opened.said == []
        outside = [u for u in opened.requests if u not in (page_file.as_uri(), "data:,")]
        assert outside == []


def test_the_filter(browser: Browser, page_file: Path) -> None:
    with Opened(browser, page_file) as opened:
        page = opened.page
        everything = page.locator(".example").count()
        assert page.locator("#shown").inner_text() == f"{everything} of {everything} examples"
        page.select_option("select[name=language]", "ar")
        page.select_option("select[name=task]", "generation")
        shown = page.locator(".example:not([hidden])")
        assert shown.count() > 0
        for example in shown.all():
            assert example.get_attribute("data-language") == "ar"
            assert example.get_attribute("data-task") == "generation"
        page.select_option("select[name=task]", "")
        page.check("input[name=differs]")
        differing = page.locator('.example[data-language=ar][data-differs="yes"]').count()
        assert page.locator(".example:not([hidden])").count() == differing
        assert opened.said == []


def test_without_scripts_everything_is_listed(browser: Browser, page_file: Path) -> None:
    with Opened(browser, page_file, java_script_enabled=False) as opened:
        examples = opened.page.locator(".example")
        assert examples.count() > 0
        assert all(example.is_visible() for example in examples.all())
        assert not opened.page.locator("#filter").is_visible()
        assert not opened.page.locator("#theme").is_visible()
        assert opened.page.locator("svg").first.is_visible()


def test_the_keyboard_reaches_everything(browser: Browser, page_file: Path, report: Report) -> None:
    with Opened(browser, page_file) as opened:
        page = opened.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "verdict"
        wanted = {"task", "language", "differs", "Commands"}
        wanted |= {table.title for table in document(report).tables() if not table.folded}
        name = """document.activeElement.id || document.activeElement.name
            || document.activeElement.getAttribute('aria-label') || ''"""
        reached: set[str] = set()
        for _ in range(100):
            page.keyboard.press("Tab")
            reached.add(page.evaluate(name))
            if wanted <= reached:
                break
        assert wanted - reached == set()
        page.focus("#theme")
        before = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.keyboard.press("Enter")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_accessibility(browser: Browser, page_file: Path, width: int, scheme: Any) -> None:
    size = {"width": width, "height": 844}
    with Opened(browser, page_file, viewport=size, color_scheme=scheme, bypass_csp=True) as opened:
        violations = Axe().run(opened.page).response["violations"]
        found = [(v["id"], v["nodes"][0]["html"][:120]) for v in violations]
        assert found == [], json.dumps(found, indent=1)
        assert opened.page.evaluate("document.documentElement.scrollWidth") == width


def test_it_prints(browser: Browser, page_file: Path) -> None:
    with Opened(browser, page_file, color_scheme="dark") as opened:
        opened.page.emulate_media(media="print")
        assert not opened.page.locator("nav").is_visible()
        background = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == "rgb(255, 255, 255)"
        assert opened.page.pdf(format="A4").startswith(b"%PDF")
