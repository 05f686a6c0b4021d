"""Whatever a file holds, reading it gives rows or a DataError, never another exception."""

import contextlib
import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from langmerge.data import SHAPES, FileSource, RowSpec, read_split, records
from langmerge.errors import DataError

QUICK = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

pieces = st.sampled_from(
    [b"\n", b"\r", b'"', b'""', b",", b"\t", b"{", b"}", b"[", b"]", b":", b"\xef\xbb\xbf", b"\xff"]
)
junk = st.lists(pieces | st.binary(max_size=4), max_size=30).map(b"".join)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
leaves = scalars | st.sampled_from(["role", "user", "assistant", "A", "0", '["a", "b"]', "\ud800"])
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "text", "label"]), inner, max_size=2)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize("format", ["jsonl", "json", "csv", "tsv"])
@QUICK
@given(content=junk)
@example(content=b"\xef\xbb\xbf")
@example(content=b"a,a\n")
def test_any_bytes(tmp_path, format, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    with contextlib.suppress(DataError):
        list(records(FileSource(path, format)))


@pytest.mark.parametrize("shape", sorted(SHAPES))
@pytest.mark.parametrize("labels", [(), ("good", "bad")])
@QUICK
@given(data=st.data())
def test_any_values(tmp_path, shape, labels, data):
    needs = SHAPES[shape].needs
    record = data.draw(
        st.fixed_dictionaries(
            dict.fromkeys(needs, values), optional=dict.fromkeys(["id", "group", "input"], leaves)
        )
    )
    path = tmp_path / "file.jsonl"
    path.write_text(json.dumps(record))
    with contextlib.suppress(DataError):
        split = read_split(FileSource(path), RowSpec((shape,), labels=labels))
        assert split.digest
        assert split.rows[0].target.strip()
