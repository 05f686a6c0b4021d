"""What mkdocs does for this site beside rendering `docs/` (a hook, see `mkdocs.yml`).

Pages that are made from the code are added; so are Markdown files that live elsewhere in the
repository (`ELSEWHERE`). Pages are written so that their links work in a checkout: a link that
leads out of `docs/` is turned into one to the page in the site, or, where the file is not in the
site, into its text with the file's name.
"""

from __future__ import annotations

import os
import posixpath
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))

from docs_reference import PAGES

ROOT = Path(__file__).parents[1]

ELSEWHERE = {
    path.relative_to(ROOT).as_posix(): place
    for path, place in [
        (ROOT / "CHANGELOG.md", "changelog.md"),
        (ROOT / "CONTRIBUTING.md", "contributing.md"),
        (ROOT / "SECURITY.md", "security.md"),
        # Its page would have the place of the report itself, report.html.
        (ROOT / "docs/example-report/report.md", "example-report/markdown.md"),
        *((p, f"benchmarks/{p.name}") for p in sorted((ROOT / "benchmarks/results").glob("*.md"))),
    ]
    if path.exists()
}
"""A file's place in the repository: its place in the site."""

_LINK = re.compile(r"(\[(?:[^\[\]]|\[[^\]]*\]\([^)]*\))*\])\((?!\w+:|#|/)([^)#\s]+)(#[^)\s]*)?\)")
_CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def on_config(config: Any) -> Any:
    """Put the pages of a folder in the place of a pattern in the navigation."""
    config["nav"] = filled(config["nav"], set(in_nav(config["nav"])))
    return config


def in_nav(part: Any) -> Iterator[str]:
    """Yield the pages and patterns of a navigation."""
    if isinstance(part, str):
        yield part
    else:
        for inner in part.values() if isinstance(part, dict) else part:
            yield from in_nav(inner)


def filled(part: Any, named: set[str]) -> Any:
    """Return a navigation with `FOLDER/*.md` replaced by the pages that it does not name."""
    if isinstance(part, dict):
        return {title: filled(inner, named) for title, inner in part.items()}
    if not isinstance(part, list):
        return part
    docs = ROOT / "docs"
    done = []
    for inner in part:
        if isinstance(inner, str) and "*" in inner:
            pages = sorted(path.relative_to(docs).as_posix() for path in docs.glob(inner))
            done += [page for page in pages if page not in named]
        else:
            done.append(filled(inner, named))
    return done


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages and those from elsewhere in the repository."""
    for place, page in PAGES.items():
        files.append(File.generated(config, place, content=page()))
    for source, place in ELSEWHERE.items():
        content = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, place, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    return in_site(markdown, page.file.src_uri)


def in_site(markdown: str, place: str) -> str:
    """Return a page's Markdown with its links as the site has them; code stays as it is."""
    done, end = [], 0
    for code in _CODE.finditer(markdown):
        done += [_LINK.sub(lambda m: _mended(m, place), markdown[end : code.start()]), code.group()]
        end = code.end()
    done.append(_LINK.sub(lambda m: _mended(m, place), markdown[end:]))
    return "".join(done)


def _mended(link: re.Match[str], place: str) -> str:
    text, target, anchor = link[1], link[2], link[3] or ""
    sources = {site: source for source, site in ELSEWHERE.items()}
    here = posixpath.dirname(sources.get(place, f"docs/{place}"))
    path = posixpath.normpath(posixpath.join(here, target))
    if path in ELSEWHERE:
        found = ELSEWHERE[path]
    elif path.startswith("docs/"):
        found = path.removeprefix("docs/")
    elif (ROOT / path).exists():
        return f"{text[1:-1]} (`{path}`)"
    else:
        return link.group()  # mkdocs says what is wrong with it
    return f"{text}({os.path.relpath(found, posixpath.dirname(place) or '.')}{anchor})"
