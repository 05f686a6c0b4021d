"""The page in a real browser: type, compare, turn a knob, read the report; nothing leaves."""

import shutil
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from langmerge.adapter import Adapter
from langmerge.cli import app as cli
from langmerge.errors import UserError
from langmerge.merging import Recipe, check_recipe, merge
from langmerge.serve import merges
from langmerge.serve.app import is_loopback, make_app, open_socket
from langmerge.serve.comparing import Comparer
from langmerge.serve.merges import Choice
from langmerge.serve.page import _Controls

pytest.importorskip("gradio", reason="gradio is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def url(comparer: Comparer) -> Iterator[str]:
    """The address of a server in this process."""
    import uvicorn

    with open_socket("127.0.0.1", 0) as listening:
        server = uvicorn.Server(uvicorn.Config(make_app(comparer), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(30)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


class Opened:
    """The page with everything it said and asked for."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(60_000)
        self.said: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda m: self.said.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(url)
        # The example is filled in when everything is ready.
        self.page.wait_for_function("document.querySelector('#text textarea')?.value")

    def __enter__(self) -> "Opened":
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def recipe(self, expected: str) -> None:
        """Wait until the answers of a recipe are there."""
        self.page.locator(".lm-about b", has_text=expected).wait_for()

    def choose(self, control: str, option: str) -> None:
        """Choose in a dropdown."""
        self.page.locator(f"#{control} input").click()
        self.page.get_by_role("option", name=option, exact=True).click()


@needs_browser
def test_type_compare_and_turn(browser: Any, url: str) -> None:
    with Opened(browser, url) as opened:
        page = opened.page
        page.fill("#text textarea", "<b>a text</b>")
        page.get_by_label("en", exact=True).check()
        page.click("#ask")
        opened.recipe("ties, density 0.5")
        assert page.locator(".lm-answers thead th").all_inner_texts() == [
            "Language", "Base", "Individual", "Combined", "Merged",
        ]  # fmt: skip
        assert page.locator(".lm-answers tbody th").all_inner_texts() == ["de", "en"]
        assert page.locator(".lm-answer").count() == 8

        page.locator("#density input[type=range]").focus()
        page.keyboard.press("ArrowLeft")
        page.locator("#density input[type=range]").dispatch_event("pointerup")
        opened.recipe("ties, density 0.45")
        opened.choose("method", "dare_linear")
        opened.recipe("dare_linear, density 0.8")
        opened.choose("recipe", "mean")
        opened.recipe("linear, lambda 1")
        assert not page.locator("#density").is_visible()

        page.fill("#text textarea", " ")
        page.click("#ask")
        page.locator(".lm-problem", has_text="there is no text").wait_for()
        assert opened.said == []
        assert all(asked.startswith((url, "data:", "blob:")) for asked in opened.requests)


class _Recipes:
    """A project's recipes, one of them chosen per task."""

    def __init__(self, recipes: dict[tuple[str, str], dict[str, Any]]) -> None:
        self._recipes = recipes

    def recipe(self, choice: Choice, task: str) -> Recipe:
        given = dict(self._recipes[choice.recipe, task])
        return check_recipe(given.pop("method"), given)


def test_sliders_reach_every_recipe_of_every_task(comparer: Comparer) -> None:
    tasks, names = list(comparer.project.tasks), list(comparer.project.merge)
    wide = {"method": "ties", "density": 0.02, "lambda": 3.3333}
    plain = {"method": "ties", "density": 0.5}
    recipes = {(name, task): plain for name in names for task in tasks}
    recipes[names[-1], tasks[-1]] = wide
    state = _Controls(
        SimpleNamespace(project=comparer.project, merges=_Recipes(recipes))  # type: ignore[arg-type]
    )

    assert state.of_recipe(names[-1], tasks[0])["density"] == 0.5
    assert state.of_recipe(names[-1], tasks[-1])["density"] == 0.02  # each task's own
    bounds = state.bounds()
    for control, value in (("density", 0.02), ("scale", 3.3333), ("density", 0.5)):
        bound = bounds[control]
        assert bound["minimum"] <= value <= bound["maximum"]
        marks = (value - bound["minimum"]) / bound["step"]
        assert marks == pytest.approx(round(marks), abs=1e-6)  # else a browser rounds it


@needs_browser
def test_a_merge_shows_its_progress(
    browser: Any, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = threading.Event()

    def slow(*arguments: Any, on_progress: Any, **options: Any) -> Adapter:
        on_progress(1, 4)
        assert seen.wait(60)
        return merge(*arguments, **options)

    monkeypatch.setattr(merges, "merge", slow)
    with Opened(browser, url) as opened:
        opened.choose("method", "task_arithmetic")
        opened.page.locator("#answers", has_text="merging").wait_for()
        seen.set()
        opened.recipe("task_arithmetic, lambda 1")


@needs_browser
def test_choices_of_a_task(browser: Any, url: str) -> None:
    with Opened(browser, url) as opened:
        page = opened.page
        assert not page.locator("#choices").is_visible()
        opened.choose("task", "multiple_choice")
        page.wait_for_function("document.querySelector('#choices textarea')?.value")
        assert page.locator("#choices textarea").input_value() == "one\ntwo\nsix"
        page.click("#ask")
        page.locator(".lm-share").first.wait_for()
        assert page.locator(".lm-merged .lm-share").count() == 3


@needs_browser
@pytest.mark.parametrize("width", [1280, 390])
def test_the_report_in_its_tab(browser: Any, url: str, width: int) -> None:
    with Opened(browser, url, viewport={"width": width, "height": 800}) as opened:
        page = opened.page
        page.get_by_role("tab", name="Report").click()
        report = page.frame_locator(".lm-report")
        report.get_by_role("heading", level=1).wait_for()
        # It is shown apart from the page: nothing in it reaches the page or this server.
        frame = next(frame for frame in page.frames if frame.url.endswith("/report"))
        assert frame.evaluate("self.origin") == "null"
        assert page.locator(".lm-report").bounding_box()["width"] > 0.7 * width
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert all(asked.startswith((url, "data:", "blob:")) for asked in opened.requests)


def test_only_this_machines_names_lead_here(url: str) -> None:
    request = urllib.request.Request(url, headers={"Host": "example.org"})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(request, timeout=20)
    with urllib.request.urlopen(url, timeout=20) as answer:
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        assert "googleapis" not in answer.read().decode()


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("me", False)],
)
def test_what_is_this_machine(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_a_taken_port_is_explained() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--port {port}: cannot be listened on"):
            open_socket("127.0.0.1", port)


def test_a_project_that_is_not_there(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        cli, ["serve", "--port", "0", "--project", str(tmp_path / "langmerge.yaml")]
    )
    assert "no such file" in str(result.exception)


@pytest.mark.parametrize(("host", "warned"), [("0.0.0.0", True), ("127.0.0.1", False)])
def test_listening_beyond_this_machine_is_warned_of(
    served: Path, monkeypatch: pytest.MonkeyPatch, host: str, warned: bool
) -> None:
    monkeypatch.setattr("langmerge.serve.app.serve", lambda app, listening: None)
    result = CliRunner().invoke(
        cli, ["serve", "--port", "0", "--host", host, "--project", str(served)]
    )
    assert result.exit_code == 0, result.output
    assert f"http://{host}:" in result.stdout
    assert ("there is no password" in result.stderr) is warned
