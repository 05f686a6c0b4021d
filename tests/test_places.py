import pytest

from langmerge.places import by_layer, by_type, layer_and_type


@pytest.mark.parametrize(
    ("module", "layer", "kind"),
    [
        ("model.layers.3.self_attn.q_proj", "model.layers.3", "self_attn.q_proj"),
        ("transformer.h.11.attn.c_proj", "transformer.h.11", "attn.c_proj"),
        ("model.layers.3.mlp.experts.7.w1", "model.layers.3", "mlp.experts.*.w1"),
        ("0.q_proj", "0", "q_proj"),
        ("lm_head", None, "lm_head"),
        ("model.embed_tokens", None, "model.embed_tokens"),
        ("wav2vec2.fc1", None, "wav2vec2.fc1"),
    ],
)
def test_layer_and_type(module, layer, kind) -> None:
    assert layer_and_type(module) == (layer, kind)


def test_groups_in_order() -> None:
    modules = ["head", "h.10.a", "h.2.b", "h.2.a"]
    assert by_layer(modules) == {"h.2": ["h.2.b", "h.2.a"], "h.10": ["h.10.a"]}
    assert list(by_layer(modules)) == ["h.2", "h.10"]
    assert by_type(modules) == {"a": ["h.10.a", "h.2.a"], "b": ["h.2.b"], "head": ["head"]}
