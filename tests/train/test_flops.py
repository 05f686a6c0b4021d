import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from trainings import LORA, config, rows

from langmerge.train import Lesson, train_adapter
from langmerge.train.checkpoint import Writer
from langmerge.train.flops import peak_flops, training_flops
from langmerge.train.rounds import Rounds


def test_equals_what_torch_counts(tiny_base):
    with Writer() as writer, FlopCounterMode(display=False) as counter:
        rounds = Rounds(tiny_base, writer, 1e9, None, None)
        trial = counter.get_total_flops()
        (run,) = rounds.begin([Lesson("a", rows(), LORA, config(max_steps=3), 0)])
        rounds.go([run], "sequential", 0)
    counted = counter.get_total_flops() - trial
    progress = run.progress
    ours = training_flops(tiny_base, run.factors, progress.tokens, progress.supervised_tokens)
    # The first layer's inputs need no gradient; the scores of attention are not counted.
    assert ours == pytest.approx(counted, rel=0.08)
    assert rounds.outcomes["a"].flops == ours


def test_the_sum_of_parts(tiny_base):
    result = train_adapter(tiny_base, rows(), LORA, config(max_steps=1), seed=0)
    assert result.flops > 4 * 60_000 * result.tokens


def test_a_cpu_has_no_known_peak():
    assert peak_flops(torch.device("cpu")) is None


@pytest.mark.parametrize(
    ("name", "peak"),
    [("NVIDIA H100 80GB HBM3", 989e12), ("NVIDIA H100 PCIe", 756e12), ("NVIDIA A10G", 70e12)],
)
def test_a_gpu_is_known_by_its_name(monkeypatch, name, peak):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: name)
    assert peak_flops(torch.device("cuda")) == peak
