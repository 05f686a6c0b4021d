"""Two processes that share every batch train what one trains."""

import copy
import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from trainings import lessons

from langmerge.adapter import Adapter
from langmerge.errors import UserError
from langmerge.train import train_adapters
from langmerge.train.team import Team

TESTS = Path(__file__).parents[1]

WORKER = """
import json, os, sys
from dataclasses import replace
from pathlib import Path

import torch

torch.set_num_threads(1)
from trainings import lessons

from langmerge.base import resolve_base
from langmerge.model import load_base
from langmerge.train import train_adapters

folder, out = Path(sys.argv[1]), Path(sys.argv[2])
base = load_base(resolve_base(str(folder), folder, out), "cpu")
base.model.double()  # so that only what differs shows, and not how it is rounded
asked = [replace(of, checkpoint_dir=out / of.name) for of in lessons()]
told = []
trainings = train_adapters(
    base, asked, grouping="grouped", checkpoint_seconds=0, on_step=told.append
)
rank = os.environ["RANK"]
found = {}
for name, result in trainings.outcomes.items():
    result.adapter.save(out / rank / name)
    found[name] = [result.losses, result.tokens, result.supervised_tokens]
(out / f"{rank}.json").write_text(json.dumps([found, len(told)]))
"""


def test_two_processes_equal_one(tiny_base, tiny_base_folder, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)]),
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tiny_base_folder), str(tmp_path)],
            env=environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors

    base = replace(tiny_base, model=copy.deepcopy(tiny_base.model).double())
    alone = train_adapters(base, lessons(), grouping="grouped").outcomes
    for rank, steps in ((0, 35), (1, 0)):  # only the first one tells
        found, told = json.loads((tmp_path / f"{rank}.json").read_text())
        assert told == steps
        for name, result in alone.items():
            losses, *counts = found[name]
            torch.testing.assert_close(losses, list(result.losses), atol=1e-6, rtol=0)
            assert counts == [result.tokens, result.supervised_tokens]
            adapter = Adapter.load(tmp_path / str(rank) / name)
            for module in adapter.modules:
                ours, theirs = adapter.factors(module), result.adapter.factors(module)
                torch.testing.assert_close(ours.a, theirs.a, atol=1e-6, rtol=0)
                torch.testing.assert_close(ours.b, theirs.b, atol=1e-6, rtol=0)


@pytest.mark.parametrize("grouping", ["grouped", "sequential"])
def test_processes_without_a_shared_disk_are_refused(tiny_base, tmp_path, monkeypatch, grouping):
    asked = [replace(of, checkpoint_dir=tmp_path / of.name) for of in lessons(steps=2)[:1]]

    def agreed(_team, value):
        # The first process has found a checkpoint, this one none.
        return [1] if value == [0] else value

    monkeypatch.setattr(Team, "agreed", agreed)
    with pytest.raises(UserError, match=r"first from \[1\].* from \[0\]\); .* shared disk"):
        train_adapters(tiny_base, asked, grouping=grouping)
