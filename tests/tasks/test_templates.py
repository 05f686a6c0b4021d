"""Prompt templates: plain fields only, values are data."""

import pytest

from langmerge.tasks.templates import fill, template_fields


def test_fields_in_order_of_use() -> None:
    assert template_fields("{b} and {a} and {b}") == ("b", "a")
    assert template_fields("no field, {{literal}}") == ()


@pytest.mark.parametrize("template", ["{a.b}", "{a[0]}", "{0}", "{}", "{a!r}", "{a:>9}", "{a"])
def test_anything_else_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"\{|'\}'"):
        template_fields(template)


def test_braces_in_values_stay_as_they_are() -> None:
    assert fill("{{x}} {text}", {"text": "{text} {0} {{"}) == "{x} {text} {0} {{"
