"""Results of the harness in our form; the file is as lm-eval 0.4 writes it."""

import copy
import json

import pytest

from langmerge.errors import DataError
from langmerge.harness.results import from_harness, read_harness_results

CONTENT = {
    "results": {
        "arc": {
            "name": "arc",
            "alias": " - arc",
            "sample_len": 400,
            "acc,none": 0.25,
            "acc_stderr,none": 0.02,
            "f1,strict": 0.5,
            "f1_stderr,strict": "N/A",
        },
        "both": {"alias": "both", "acc,none": 0.3, "acc_stderr,none": 0.01},
    },
    "configs": {"arc": {"task": "arc", "doc_to_text": "{{q}}", "metadata": {"pretrained": "a"}}},
    "versions": {"arc": 1.0},
    "n-shot": {"arc": 5},
    "higher_is_better": {"arc": {"acc": True, "f1": True}},
    "n-samples": {"arc": {"original": 500, "effective": 400}},
    "config": {"model": "hf", "model_args": {"pretrained": "org/model"}},
    "lm_eval_version": "0.4.13",
}


def test_every_metric_with_its_interval_and_signature(tmp_path):
    file = tmp_path / "results.json"
    file.write_text(json.dumps(CONTENT))
    found = read_harness_results(file)
    assert (found.model, found.version) == ("org/model", "0.4.13")
    accuracy, f1, group = found.scores
    assert (accuracy.task, accuracy.metric, accuracy.n) == ("arc", "acc", 400)
    assert accuracy.measured.value == 0.25
    assert accuracy.measured.low == pytest.approx(0.25 - 1.95996 * 0.02, abs=1e-6)
    assert accuracy.measured.high == pytest.approx(0.25 + 1.95996 * 0.02, abs=1e-6)
    assert accuracy.measured.signature.startswith(
        "acc|harness:lm-eval|version:0.4.13|task:arc|task-version:1.0|shots:5|filter:none|config:"
    )
    assert (f1.filter, f1.measured.low, f1.higher_is_better) == ("strict", None, True)
    assert (group.task, group.n, group.higher_is_better) == ("both", None, None)
    assert json.loads(json.dumps(found.to_json()))["scores"][0]["measured"]["value"] == 0.25


@pytest.mark.parametrize(
    ("section", "changed", "same"),
    [
        ("configs", {"task": "arc", "doc_to_text": "{{q}}?", "metadata": {}}, False),
        ("configs", {"task": "arc", "doc_to_text": "{{q}}", "metadata": {"x": 1}}, True),
        ("n-shot", 0, False),
        ("versions", 2.0, False),
    ],
)
def test_a_signature_tells_tasks_apart_and_not_models(section, changed, same):
    other = copy.deepcopy(CONTENT)
    other[section]["arc"] = changed
    first, second = (from_harness(each, "x").scores[0].measured for each in (CONTENT, other))
    assert (first.signature == second.signature) is same


def test_no_signature_of_ours_is_like_it():
    from langmerge.metrics import choice_metrics

    ours = {metric.signature for metric in choice_metrics([0], [[1.0, 0.0]], [["a", "b"]])}
    theirs = {score.measured.signature for score in from_harness(CONTENT, "x").scores}
    assert not ours & theirs
    assert all("harness:lm-eval" in signature for signature in theirs)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "found no object"),
        ('{"scores": 1}', "found scores"),
        ('{"results": {}}', "has no metric"),
        ('{"results": {"arc": 3}}', "results.arc: expected metrics, found 3"),
        ('{"results": {"arc": {"acc,none": "high"}}}', "results.arc.acc,none: expected a number"),
        ('{"results": {"arc": {"acc,none": NaN}}}', "expected a number, found nan"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    file = tmp_path / "results.json"
    file.write_text(content)
    with pytest.raises(DataError) as error:
        read_harness_results(file)
    assert message in str(error.value)
    assert str(file) in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_harness_results(tmp_path / "none.json")
