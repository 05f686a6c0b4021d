"""The docs site: every page is in it, every link leads somewhere, and it asks no other server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from docs_site import filled, in_nav

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "mkdocs.yml"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


def test_every_page_is_in_the_navigation() -> None:
    """A new page in docs/ needs a line in `nav:` of mkdocs.yml."""
    config = yaml.safe_load(CONFIG.read_text("utf-8"))
    listed = list(in_nav(filled(config["nav"], set(in_nav(config["nav"])))))
    aside = tuple(line.strip("/ ") for line in config["not_in_nav"].split() if line)
    written = {path.relative_to(ROOT / "docs").as_posix() for path in ROOT.glob("docs/**/*.md")}

    missing = {page for page in written if not page.startswith(aside)} - set(listed)

    assert not missing, f"add to nav: in mkdocs.yml: {', '.join(sorted(missing))}"
    assert len(set(listed)) == len(listed), "a page stands in nav: twice"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install 'langmerge[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "-q",
        "-f",
        CONFIG,
        "-d",
        folder,
    ]
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        if page.parent.name != "example-report":
            for tag in re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", page.read_text("utf-8")):
                found = re.search(r'(?:src|href)="(?:https?:)?//[^"]*"', tag)
                assert found is None, f"{page.name}: {tag}"
    for style in site.rglob("*.css"):
        assert "url(http" not in style.read_text("utf-8")


def test_links_between_files_became_links_between_pages(site: Path) -> None:
    """Also those of pages that stand elsewhere in the repository."""
    assert 'href="../metrics.html' in (site / "explanation/numbers.html").read_text("utf-8")
    assert 'href="benchmarks/evaluation.html"' in (site / "evaluation.html").read_text("utf-8")
    assert 'href="changelog.html"' in (site / "versions.html").read_text("utf-8")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")
def test_pages_work_in_a_browser_from_a_folder(site: Path) -> None:
    pytest.importorskip("playwright", reason="playwright is not installed")
    from playwright.sync_api import sync_playwright

    requests: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        for scheme, width in (("light", 1280), ("dark", 390)):
            context = browser.new_context(
                color_scheme=scheme,  # type: ignore[arg-type]
                viewport={"width": width, "height": 800},
            )
            page = context.new_page()
            page.on("request", lambda request: requests.append(request.url))
            for name in ("index", "tutorial", "reference/cli", "reference/project-file"):
                page.goto((site / f"{name}.html").as_uri())
                assert page.locator("h1").count() == 1
                # Wide tables scroll in their own frame, never the page.
                assert page.evaluate("document.documentElement.scrollWidth") <= width
            context.close()
        browser.close()
    assert {url.partition(":")[0] for url in requests} <= {"file", "data", "blob"}
