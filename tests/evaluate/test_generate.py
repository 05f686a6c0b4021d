from dataclasses import replace

import pytest
import torch

from langmerge.evaluate.generation import generate

PROMPTS = [[1, 40, 50, 60], [1, 70], [1, 80, 90, 100, 110, 120, 130], [1, 33]]


def greedy(base, prompt, count):
    ids = list(prompt)
    for _ in range(count):
        with torch.inference_mode():
            ids.append(int(base.model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize("family", ["llama", "gemma3"])
@pytest.mark.parametrize("batch_tokens", [1, 1000])
def test_equals_greedy_one_by_one(tiny_bases, family, batch_tokens):
    base = tiny_bases(family)
    found = generate(base, PROMPTS, 6, stop_ids={2}, batch_tokens=batch_tokens)
    for prompt, text in zip(PROMPTS, found, strict=True):
        expected = greedy(base, prompt, 6)
        expected = expected[: expected.index(2)] if 2 in expected else expected
        assert text.text == base.tokenizer.decode(expected, skip_special_tokens=True).strip()


def test_stops_at_a_stop_token(tiny_base):
    ids = greedy(tiny_base, PROMPTS[0], 6)
    stop = ids[3]
    end = ids.index(stop)
    (found,) = generate(tiny_base, PROMPTS[:1], 6, stop_ids={stop})
    assert (found.tokens, found.truncated) == (end + 1, False)
    assert found.text == tiny_base.tokenizer.decode(ids[:end], skip_special_tokens=True).strip()


def test_the_limit_truncates(tiny_base):
    (found,) = generate(tiny_base, PROMPTS[:1], 3, stop_ids={299})
    assert (found.tokens, found.truncated) == (3, True)


def test_stops_at_the_first_newline_after_text(tiny_base):
    """With a tokenizer that shows whatever comes first and fourth as line breaks."""

    class Tokenizer:
        def decode(self, row, **_):
            return "".join("\n" if at in (0, 3) else "x" for at in range(len(row)))

        def batch_decode(self, rows):
            return [self.decode(row.tolist()) for row in rows]

    base = replace(tiny_base, tokenizer=Tokenizer())
    (found,) = generate(base, [PROMPTS[1]], 8, stop_ids={250}, stop_at_newline=True)
    assert (found.text, found.tokens, found.truncated) == ("xx", 4, False)


def test_the_checkpoints_own_settings_do_not_count(tiny_base, monkeypatch):
    expected = generate(tiny_base, PROMPTS, 6)
    own = tiny_base.model.generation_config
    monkeypatch.setattr(own, "repetition_penalty", 50.0)
    monkeypatch.setattr(own, "do_sample", True)
    assert generate(tiny_base, PROMPTS, 6) == expected
    assert tiny_base.model.generation_config is own


def test_order_and_progress(tiny_base):
    seen = []
    found = generate(tiny_base, PROMPTS, 2, batch_tokens=8, on_progress=lambda *at: seen.append(at))
    assert len(found) == len(PROMPTS)
    assert seen[-1] == (4, 4)
    assert found[1] == generate(tiny_base, [PROMPTS[1]], 2)[0]


def test_the_head_gets_contiguous_inputs(tiny_base):
    """Of a slice of the hidden states, torch's product would copy the weight for every row."""
    seen = []
    head = tiny_base.model.get_output_embeddings()
    watch = head.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].is_contiguous()))
    generate(tiny_base, PROMPTS, 3)
    watch.remove()
    assert len(seen) >= 3
    assert all(seen)
    assert not head._forward_pre_hooks
