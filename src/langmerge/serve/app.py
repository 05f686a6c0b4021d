"""The server: the page and the report on one port, which asks no other machine for anything."""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
from typing import Any

from langmerge.errors import LangmergeError, MissingExtraError, UserError
from langmerge.results import RESULTS_FILE
from langmerge.serve.comparing import Comparer
from langmerge.serve.table import problem_html

LOOPBACK = "127.0.0.1"

# Gradio reads these when it is imported.
_ENVIRONMENT = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_RUN_HISTORY": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "frame-ancestors 'self'; form-action 'self'; base-uri 'self'"
)
"""What a browser may load for the page: what comes from here."""
_REPORT_POLICY = "sandbox allow-scripts; default-src 'unsafe-inline' data:"
"""The report holds texts of the data: it is shown, and reaches nothing of the page."""


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def open_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 takes a free one.

    Raises:
        UserError: if the port is taken, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
        found.listen()
    except (OSError, OverflowError) as error:
        found.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"--host {host} --port {port}: cannot be listened on ({reason}); "
            "choose another, or --port 0 for a free one"
        ) from None
    return found


def require_gradio() -> None:
    """Set Gradio to be silent, and import it.

    Raises:
        MissingExtraError: if it is not installed.
    """
    os.environ.update(_ENVIRONMENT)
    try:
        import gradio  # noqa: F401
    except ModuleNotFoundError:
        raise MissingExtraError("gradio", "ui", "`langmerge serve`") from None


def make_app(comparer: Comparer, host: str = LOOPBACK) -> Any:
    """Return the application: the page at `/`, the report at `/report`.

    Raises:
        MissingExtraError: if Gradio is not installed.
    """
    require_gradio()
    import gradio as gr
    from fastapi import FastAPI
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import HTMLResponse

    from langmerge.serve.page import build_page, style

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    report = ReportPage(comparer)

    def show_report(request: Request) -> HTMLResponse:
        return HTMLResponse(report.html(), headers={"Content-Security-Policy": _REPORT_POLICY})

    app.add_route("/report", show_report)
    app.add_middleware(_Policy)
    if is_loopback(host):
        # Another site's name made to lead here would otherwise read the page through the browser.
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=["localhost", LOOPBACK, host, "["])
    return gr.mount_gradio_app(
        app,
        build_page(comparer),
        path="/",
        server_name=host,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        max_file_size=1,  # There is nothing to upload.
        show_error=True,
        theme=_theme(gr),
        css=style(),
    )


def _theme(gr: Any) -> Any:
    """Return Gradio's theme with the system's fonts, and hints that can be read."""
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["monospace"]}
    return gr.themes.Default(primary_hue="indigo", **fonts).set(
        block_info_text_color="*neutral_600", block_info_text_color_dark="*neutral_300"
    )


class _Policy:
    """Tells browsers what they may load for the page, where a response does not say it itself."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = message.setdefault("headers", [])
                if all(name.lower() != b"content-security-policy" for name, _ in headers):
                    headers.append((b"content-security-policy", _POLICY.encode()))
                headers.append((b"referrer-policy", b"no-referrer"))
            await send(message)

        await self._app(scope, receive, send_with_policy)


class ReportPage:
    """The project's report, made when it is asked for and again after another run."""

    def __init__(self, comparer: Comparer) -> None:
        self._project = comparer.project
        self._made: tuple[int, str] | None = None
        self._lock = threading.Lock()

    def html(self) -> str:
        """Return the report, or why there is none, as a page."""
        from langmerge.report import gather
        from langmerge.report.html import to_html
        from langmerge.report.sections import document

        with self._lock:
            try:
                results = self._project.folder / RESULTS_FILE
                changed = results.stat().st_mtime_ns if results.is_file() else 0
                if self._made is None or self._made[0] != changed:
                    self._made = changed, to_html(document(gather(self._project.path)))
            except LangmergeError as error:
                return f"<!doctype html><meta charset=utf-8>{problem_html(str(error))}"
            return self._made[1]


def serve(app: Any, listening: socket.socket) -> None:
    """Serve until the process is told to stop."""
    import uvicorn

    # An open page keeps a connection; nobody who stops the server wants to wait for its tab.
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listening])
