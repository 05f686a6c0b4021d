"""YAML as plain data, with the node of every part; whatever is wrong with it is a `YAMLError`.

PyYAML lets other exceptions through (a date that does not exist is a ValueError, brackets 20,000
deep a RecursionError), and follows aliases that stand for each other into billions of values.
"""

from __future__ import annotations

from typing import Any

import yaml

_MOST_VALUES = 300_000
"""Far more than any project file has, and few enough to be walked at once."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, with a line for values that are no values of their type."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, AttributeError, OverflowError, TypeError) as error:
            kind = node.tag.rpartition(":")[2]
            shown = f"{node.value!r:.40}" if isinstance(node, yaml.ScalarNode) else "this"
            problem = f"{shown} is no {kind}; put a text in quotes"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from error


def parse_yaml(text: str) -> tuple[Any, yaml.Node | None]:
    """Return a YAML document's value and its root node; None and None for an empty one.

    Only plain data is built: no tag makes an object of Python's.

    Raises:
        yaml.YAMLError: for everything that is wrong with the text.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None, None
        _refuse_traps(node)
        return loader.construct_document(node), node
    except RecursionError:
        raise yaml.MarkedYAMLError(problem="brackets or lists nested too deep") from None


def _refuse_traps(root: yaml.Node) -> None:
    """Raise if aliases stand for too much or for themselves, or where a key or text is none."""
    waiting, count = [root], 0
    while waiting:
        node = waiting.pop()
        count += 1
        if count > _MOST_VALUES:
            raise yaml.MarkedYAMLError(
                problem="aliases (*name) that stand for over 300,000 values, or for themselves",
                problem_mark=root.start_mark,
            )
        if isinstance(node, yaml.ScalarNode) and not _is_text(node.value):
            raise yaml.MarkedYAMLError(
                problem=f"{node.value!r:.40} has half a character (a lone surrogate)",
                problem_mark=node.start_mark,
            )
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise yaml.MarkedYAMLError(
                        problem="a key in braces; put a text that begins with '{' in quotes",
                        problem_mark=key.start_mark,
                    )
                waiting += (key, value)
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value


def _is_text(value: str) -> bool:
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)
