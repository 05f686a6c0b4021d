"""Debian's package descriptions and their translations: the text of one, and its one-line synopsis.

A mirror's indices are plain files: `Release` names every file with size and SHA-256, `Packages` the
packages with their source, `Translation-LANG` the descriptions. Each is fetched once, checked
against the digest that `Release` states, and kept in the cache under it.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from langmerge.errors import DataError
from langmerge.recipes.recipe import Fetched, Option, Origin, Recipe

_UNPACK = {".xz": lzma.decompress, ".bz2": bz2.decompress, ".gz": gzip.decompress}
_TIMEOUT = 60.0
_PER_SOURCE = 3
_LEFT_OUT = {
    "debug", "fonts", "introspection", "kernel", "libdevel", "libs", "localization",
    "metapackages", "oldlibs", "tasks",
}  # fmt: skip
"""Sections whose descriptions mostly repeat another package's."""
_SHORTEST, _LONGEST = 90, 600
_DENSE = {"ja", "ko", "zh"}
"""Languages whose characters say more each."""
_SENTENCE_ENDS = '.!?…:。．！？»”")）'


class _Index(NamedTuple):
    """A file that `Release` names."""

    sha256: str
    size: int
    name: str


def descriptions(recipe: Recipe, language: str, origin: Origin) -> Iterator[Fetched]:
    """Yield packages' descriptions in a language, told apart by source package.

    Raises:
        DataError: if the mirror cannot be reached, or its files are not what `Release` says.
    """
    mirror = _Mirror(origin)
    packages = {
        paragraph["Package"]: paragraph
        for paragraph in paragraphs(mirror.text("main/binary-amd64/Packages"))
        if "Package" in paragraph
    }
    per_source: Counter[str] = Counter()
    code = recipe.languages[language]
    for paragraph in paragraphs(mirror.text(f"main/i18n/Translation-{code}")):
        name = paragraph.get("Package", "")
        package = packages.get(name)
        row = _row(paragraph.get(f"Description-{code}", ""), language)
        if package is None or row is None or _is_left_out(package.get("Section", "")):
            continue
        source = package.get("Source", name).partition(" ")[0]
        per_source[source] += 1
        if per_source[source] <= _PER_SOURCE:
            yield Fetched("all", f"source-{source}", row)


def paragraphs(text: str) -> Iterator[dict[str, str]]:
    """Yield the paragraphs of a control file (deb822): field -> value, continuation lines kept.

    A continuation line begins with a space or a tab, and ` .` is an empty one
    (www.debian.org/doc/debian-policy/ch-controlfields).
    """
    fields: dict[str, str] = {}
    last = ""
    for line in [*text.split("\n"), ""]:
        if not line.strip():
            if fields:
                yield fields
            fields, last = {}, ""
        elif line[0] in " \t":
            if last:
                fields[last] += "\n" + ("" if line.strip() == "." else line[1:].rstrip())
        else:
            last, _, value = line.partition(":")
            fields[last] = value.strip()


def _row(description: str, language: str) -> dict[str, str] | None:
    """Return text and summary of a description: its first running paragraph, and its synopsis."""
    synopsis, _, body = description.partition("\n")
    first = body.strip("\n").split("\n\n")[0].split("\n")
    if not synopsis or not body or any(line[:1].isspace() for line in first):
        return None  # indented lines are lists, or laid out by hand
    joined = "" if language in ("ja", "zh") else " "
    text = joined.join(line.strip() for line in first)
    shortest, longest = (_SHORTEST // 3, _LONGEST // 2) if language in _DENSE else (
        _SHORTEST, _LONGEST,
    )  # fmt: skip
    fits = shortest <= len(text) <= longest and text[-1] in _SENTENCE_ENDS
    if not fits or "://" in text or text.casefold().startswith(synopsis.casefold()):
        return None
    return {"text": text, "summary": synopsis}


def _is_left_out(section: str) -> bool:
    return section.rpartition("/")[2] in _LEFT_OUT


class _Mirror:
    """One release on a mirror; files are fetched when asked for, and once."""

    def __init__(self, origin: Origin) -> None:
        root = (
            origin.options["mirror"] if origin.folder is None else origin.folder.resolve().as_uri()
        )
        self._url = f"{root.rstrip('/')}/dists/{origin.options['release']}"
        self._cache = origin.cache / "debian"
        self._say = origin.say
        self._indices = dict(self._read_release())

    def text(self, name: str) -> str:
        """Return an index's text, whichever way it is packed.

        Raises:
            DataError: if the release has no such file, or it is not what `Release` says.
        """
        for suffix, unpack in _UNPACK.items():
            if (index := self._indices.get(name + suffix)) is not None:
                return unpack(self._fetched(index)).decode("utf-8")
        raise DataError(
            f"{self._url}: has no {name}; choose another language, or another release with "
            "--set release=NAME"
        )

    def _fetched(self, index: _Index) -> bytes:
        kept = self._cache / index.sha256
        if kept.is_file():
            content = kept.read_bytes()
            if hashlib.sha256(content).hexdigest() == index.sha256:
                return content
        self._say(f"Fetching {self._url}/{index.name} ({index.size / 1e6:.1f} MB).")
        content = _get(f"{self._url}/{index.name}")
        if (found := hashlib.sha256(content).hexdigest()) != index.sha256:
            raise DataError(
                f"{self._url}/{index.name}: has the digest {found}, Release says {index.sha256}; "
                "the mirror is being updated, or something changed it on the way: try again"
            )
        self._cache.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(content)
        return content

    def _read_release(self) -> Iterator[tuple[str, _Index]]:
        fields: Mapping[str, str] = next(paragraphs(_get(f"{self._url}/Release").decode()), {})
        for line in fields.get("SHA256", "").splitlines():
            if len(parts := line.split()) == 3:
                yield parts[2], _Index(parts[0], int(parts[1]), parts[2])


def _get(url: str) -> bytes:
    if not url.startswith(("https://", "http://", "file://")):
        raise DataError(
            f"{url}: expected a mirror's address, such as https://deb.debian.org/debian"
        )
    request = urllib.request.Request(url, headers={"User-Agent": "langmerge"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
            content: bytes = answer.read()
    except (urllib.error.URLError, OSError) as error:
        raise DataError(
            f"{url}: cannot be fetched ({error}); check the network, or name another mirror with "
            "--set mirror=URL"
        ) from error
    return content


_SAME_CODE = "ca cs da de en eo es eu fi fr hr hu id it ja ko nl pl ro ru sk sl sr sv tr uk vi"
_LANGUAGES = {
    **{code: code for code in _SAME_CODE.split()},
    "pt": "pt_BR",
    "zh": "zh_CN",
}

RECIPE = Recipe(
    name="debian-descriptions",
    title="Debian package descriptions: the first paragraph and its synopsis, in 29 languages",
    task="generation",
    task_name="summarization",
    prompt="{text}\nSummary:",
    max_new_tokens=32,
    languages=_LANGUAGES,
    licence="each description is under its package's licence, free in Debian's sense",
    size="9 MB for the package list and 0.1 to 7 MB a language; some hundred to 20,000 rows",
    page="https://www.debian.org/international/l10n/ddtp",
    schema="deb822 paragraphs of Packages and Translation-LANG (wiki.debian.org/DebianRepository); "
    "every file is checked against the SHA-256 in Release (whose signature is not checked)",
    leakage="a group is a source package, in every language: packages of one source repeat each "
    "other's texts; at most three packages of a source are taken",
    parts={"all": {"train": 0.8, "dev": 0.07, "test": 0.13}},
    fetch=descriptions,
    options={
        "mirror": Option("https://deb.debian.org/debian", "a Debian mirror's address"),
        "release": Option("stable", "a release's name, such as bookworm; `stable` moves on"),
    },
    attribution="Debian's package maintainers, and the Debian Description Translation Project.",
)
