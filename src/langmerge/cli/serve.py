"""`langmerge serve`: try a project's models in the browser."""

from __future__ import annotations

import webbrowser
from typing import Annotated

import typer
from rich.text import Text

from langmerge.cli._console import DEFAULT_PROJECT, ProjectOption, err, out, show_warnings


def serve(
    project: ProjectOption = DEFAULT_PROJECT,
    host: Annotated[
        str, typer.Option(help="Address to listen on; by default this machine only.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 for a free one.", min=0, max=65535)] = 7860,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Show base, individual, combined and merged model side by side, and the report."""
    from langmerge.serve.app import is_loopback, make_app, open_socket, require_gradio
    from langmerge.serve.app import serve as serve_app

    require_gradio()
    with open_socket(host, port) as listening:
        from langmerge.serve.comparing import Comparer
        from langmerge.workspace import open_workspace

        with err.status("loading the base model", spinner="dots"):
            comparer = Comparer(open_workspace(project))
            comparer.load()
            app = make_app(comparer, host)
        if not is_loopback(host):
            show_warnings(
                [
                    f"everyone who reaches {host} can use the models and read the report: there is "
                    "no password; leave --host out to serve this machine only"
                ]
            )
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{listening.getsockname()[1]}"
        out.print(Text(f"{url} (Ctrl+C stops it)"), soft_wrap=True)
        if open_:
            webbrowser.open(url)
        serve_app(app, listening)
