"""Prompt templates: text with named fields in braces, such as `Review: {text}`."""

from __future__ import annotations

import string
from collections.abc import Mapping


def template_fields(template: str) -> tuple[str, ...]:
    """Return the field names a template uses, in order of first use.

    Only plain names are allowed: `{text}`, not `{text.upper}`, `{0}` or `{text!r}`, so that a
    template is data and never reaches into objects. Literal braces are doubled.

    Raises:
        ValueError: if the template is malformed or uses anything but plain names.
    """
    names: dict[str, None] = {}
    for _, name, spec, conversion in string.Formatter().parse(template):
        if name is None:
            continue
        if not name.isidentifier() or spec or conversion:
            raise ValueError(
                f"'{{{name}}}' is not a plain field name; "
                "write {text}, and double braces that are meant literally: {{ }}"
            )
        names[name] = None
    return tuple(names)


def fill(template: str, fields: Mapping[str, str]) -> str:
    """Return the template with its fields replaced; braces inside values stay as they are."""
    return template.format_map(fields)
