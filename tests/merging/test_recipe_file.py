"""Recipe files: ours, and mergekit's as far as its methods have a counterpart."""

from __future__ import annotations

import pytest

from langmerge.errors import MergeError
from langmerge.merging.recipe_file import read_recipe

from .toys import toy


def write(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return path


OWN = """
adapters: [de, {path: fr, weight: 2}]
method: ties
density: 0.5
lambda: 0.8
rank: energy:0.99
output: merged
base: model
into_model: true
ancestor: start
"""


def test_our_own_form(tmp_path):
    order = read_recipe(write(tmp_path, OWN))
    assert order.adapters == (tmp_path / "de", tmp_path / "fr")
    assert order.method == "ties"
    assert order.options == {
        "density": 0.5,
        "lambda": 0.8,
        "rank": "energy:0.99",
        "weights": [1.0, 2],
    }
    assert (order.output, order.base) == (tmp_path / "merged", tmp_path / "model")
    assert order.into_model
    assert order.ancestor == tmp_path / "start"
    assert order.checked().options["lambda_"] == 0.8


def test_the_command_line_comes_before_the_file(tmp_path):
    order = read_recipe(write(tmp_path, OWN))
    changed = order.changed({"density": 0.9}, method="dare_ties", output=None, adapters=())
    assert changed.options["density"] == 0.9
    assert (changed.method, changed.output) == ("dare_ties", tmp_path / "merged")
    assert changed.adapters == order.adapters


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("adapters: [a]\ndensty: 1\n", "unknown key 'densty'; did you mean 'density'"),
        ("adapters: [a]\nmethod: linear\ndensity: 1\n", "unknown key 'density'"),
        ("adapters: [a]\nmethod: tise\n", "did you mean 'ties'"),
        ("adapters: a\n", "adapters is 'a', expected a list"),
        ("method: ties\n", "adapters is None"),
        ("adapters: [{path: a, wieght: 1}]\n", "an adapter has the key 'wieght'"),
        ("adapters: [{weight: 1}]\n", "is not a folder's path"),
        ("adapters: [{path: a, weight: 1}]\nweights: [1]\n", "gives weights twice"),
        ("adapters: [a]\noutput: 3\n", "3 is not a folder's path"),
        ("[1]", "expected keys such as adapters"),
        ("a: [", "is not valid YAML"),
        ("a: !!python/object:os.system {}", "is not valid YAML"),
    ],
)
def test_wrong_recipes(tmp_path, text, message):
    with pytest.raises(MergeError, match=message) as caught:
        read_recipe(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_no_file(tmp_path):
    with pytest.raises(MergeError, match="cannot be read"):
        read_recipe(tmp_path / "none.yaml")


MERGEKIT = """
merge_method: {method}
base_model: llama
models:
  - model: llama
  - model: llama+de
    parameters: {{weight: 1, density: 0.5}}
  - model: llama+fr
    parameters: {{weight: 2, density: 0.5}}
parameters: {{normalize: true, int8_mask: true, lambda: 0.9, rescale: false}}
dtype: bfloat16
"""


def test_mergekit(tmp_path):
    order = read_recipe(write(tmp_path, MERGEKIT.format(method="dare_ties")))
    assert order.adapters == (tmp_path / "de", tmp_path / "fr")
    assert order.base == tmp_path / "llama"
    assert order.options == {
        "profile": "mergekit",
        "normalize": True,
        "lambda": 0.9,
        "rescale": "none",
        "weights": [1, 2],
        "density": 0.5,
    }
    assert [note.split("'")[1] for note in order.notes] == ["dtype", "int8_mask"]


def test_mergekit_defaults_and_adapters_by_folder(tmp_path):
    toy(1).save(tmp_path / "de")
    text = "merge_method: dare_linear\nmodels: [{model: de}]\nbase_model: {model: llama}\n"
    order = read_recipe(write(tmp_path, text))
    assert order.options == {"profile": "mergekit"}
    assert order.adapters == (tmp_path / "de",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("merge_method: ties", "merge_method: slerp"), "'slerp' has no counterpart"),
        (("dtype:", "slices: []\ndtype:"), "'slices' cannot be honoured: layers"),
        (("dtype:", "dtpye:"), "unknown key 'dtpye'; did you mean 'dtype'"),
        (("int8_mask", "int8_maks"), "parameter 'int8_maks' cannot be honoured; did you mean"),
        (("lambda: 0.9", "lambda: [0, 1]"), "'lambda' varies by layer"),
        (("2, density: 0.5", "2, density: 0.6"), "'density' differs between models"),
        (("2, density: 0.5", "2, density: [0, 1]"), "'density' varies by layer"),
        (("weight: 2, ", ""), "'weight' is given for some models only"),
        (("2, density: 0.5", "2, gamma: 0.5"), "'gamma' cannot be honoured for one model"),
        (("llama+fr", "mistral-fr"), "'mistral-fr' is no adapter's folder"),
        (("- model: llama+fr", "- modle: llama+fr"), "unknown key 'modle'"),
    ],
)
def test_mergekit_keys_that_cannot_be_honoured_are_named(tmp_path, change, message):
    text = MERGEKIT.format(method="ties").replace(*change)
    with pytest.raises(MergeError, match=message):
        read_recipe(write(tmp_path, text))


def test_mergekit_linear_that_does_not_normalize_is_a_sum(tmp_path):
    text = MERGEKIT.format(method="linear").replace("normalize: true", "normalize: false")
    text = text.replace("  - model: llama\n", "")
    with pytest.raises(MergeError, match="the merge_method is 'task_arithmetic' here"):
        read_recipe(write(tmp_path, text))
    order = read_recipe(write(tmp_path, text.replace("normalize: false", "normalize: true")))
    assert order.method == "linear"
    assert order.options == {"profile": "mergekit", "lambda": 0.9, "weights": [1, 2]}
    assert "'rescale' has no effect" in order.notes[-1]


def test_the_base_among_the_models_of_mergekit_linear(tmp_path):
    with pytest.raises(MergeError, match="counts as an adapter that changes nothing"):
        read_recipe(write(tmp_path, MERGEKIT.format(method="linear")))


def test_mergekit_parameters_of_its_other_methods(tmp_path):
    text = MERGEKIT.replace("density: 0.5", "density: 0.5, gamma: 0.02")
    order = read_recipe(write(tmp_path, text.format(method="breadcrumbs")))
    assert order.options["gamma"] == 0.02
    text = MERGEKIT.replace("rescale: false", "rescale: true, epsilon: 0.1")
    order = read_recipe(write(tmp_path, text.format(method="della")))
    assert (order.options["epsilon"], order.options["rescale"]) == (0.1, "l1")
    text = "merge_method: sce\nmodels: [{model: llama+de}, {model: llama+fr}]\nbase_model: llama\n"
    order = read_recipe(write(tmp_path, text + "parameters: {select_topk: 0.3}\n"))
    assert order.options == {"profile": "mergekit", "density": 0.3}
    with pytest.raises(MergeError, match="'filter_wise' cannot be honoured"):
        text = text.replace("sce", "model_stock")
        read_recipe(write(tmp_path, text + "parameters: {filter_wise: true}\n"))
