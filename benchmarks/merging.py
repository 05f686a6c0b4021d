"""Time and memory of merging, ours and others' in one run.

    python benchmarks/merging.py gemma    # five adapters on Gemma-3-270M: PEFT, mergekit, ours
    python benchmarks/merging.py llama    # one layer of Llama-3.1-8B, and the whole by it
    python benchmarks/merging.py count    # 5, 20 and 100 adapters: time and memory

Every row is measured in a process of its own. Ours is timed from the adapters' folders to the
written result; PEFT's only its `add_weighted_adapter`, with everything loaded; mergekit's from
full checkpoints to the written checkpoint. Peak memory is the process's, libraries included. The
weights are random, of real shapes. `--small` takes seconds; `--json FILE` keeps the rows, which are
written as they come.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

Job = dict[str, Any]
Shapes = dict[str, tuple[int, int]]

GEMMA = {
    "hidden_size": 640,
    "intermediate_size": 2048,
    "num_hidden_layers": 18,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "head_dim": 256,
    "vocab_size": 262_144,
}
GEMMA_SMALL = GEMMA | {"num_hidden_layers": 2, "vocab_size": 8_192}
LLAMA = {
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 1,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
}
LLAMA_SMALL = LLAMA | {
    "hidden_size": 512,
    "intermediate_size": 1792,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
}
LLAMA_LAYERS = 32


def main() -> None:
    """Run one part and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=("gemma", "llama", "count"), nargs="?")
    parser.add_argument("--small", action="store_true", help="smaller shapes; seconds")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--only", nargs="*", help="sides to run: langmerge, peft, mergekit, copy")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        print(json.dumps(_measured(json.loads(arguments.job))))
        return
    if arguments.part is None:
        parser.error("expected a part: gemma, llama or count")
    part = {"gemma": gemma_part, "llama": llama_part, "count": count_part}[arguments.part]
    rows: list[Job] = []
    with tempfile.TemporaryDirectory(prefix="langmerge-bench-") as folder:
        for job in part(Path(folder), arguments.small, arguments.rank):
            if not arguments.only or job["side"] in arguments.only:
                rows.append(_in_own_process(job))
                _print_row(rows[-1], rows)
                if arguments.json:
                    _write(arguments.json, arguments.part, arguments.small, rows)


def gemma_part(folder: Path, small: bool, rank: int) -> Iterator[Job]:
    """Part 1: into an adapter against PEFT, into a checkpoint against mergekit."""
    config = GEMMA_SMALL if small else GEMMA
    adapters = [str(make_adapter(folder / f"a{i}", shapes_of(config), rank, i)) for i in range(5)]
    base = make_checkpoint(folder / "base", config)
    models = [str(make_folded(folder / f"m{i}", base, adapters[i])) for i in range(5)]
    ours: list[Job] = []
    others: list[Job] = []
    for name, method, density in (
        ("ties p=0.5", "ties", 0.5),
        ("dare_ties p=0.5", "dare_ties", 0.5),
        ("ties p=1", "ties", 1.0),
        ("knots_ties p=0.5", "knots_ties", 0.5),
        ("knots_ties p=1", "knots_ties", 1.0),
    ):
        common: Job = {
            "adapters": adapters, "out": str(folder / "out"), "method": method,
            "options": {"density": density},
        }  # fmt: skip
        into = common | {"base": str(base), "models": models, "what": f"{name}, full checkpoint"}
        out = common | {"config": config, "rank": rank, "what": f"{name}, adapter of rank {rank}"}
        ours.append(into | {"side": "langmerge", "run": "into_model"})
        ours.append(out | {"side": "langmerge", "run": "adapter"})
        if method != "knots_ties":  # neither of the others has it
            others.append(into | {"side": "mergekit", "run": "mergekit"})
            others.append(out | {"side": "peft", "run": "peft"})
    copy: Job = {"base": str(base), "out": str(folder / "out")}
    yield copy | {"side": "copy", "run": "copy", "what": "the base checkpoint, copied"}
    yield from ours
    yield from others


def llama_part(folder: Path, small: bool, rank: int) -> Iterator[Job]:
    """Part 2: one layer of Llama-3.1-8B; the whole is 32 of them."""
    shapes = shapes_of(LLAMA_SMALL if small else LLAMA)
    adapters = [str(make_adapter(folder / f"a{i}", shapes, rank, i)) for i in range(5)]
    for method, density in (
        ("ties", 1.0), ("ties", 0.5), ("dare_ties", 0.5), ("knots_ties", 1.0), ("knots_ties", 0.5),
    ):  # fmt: skip
        yield {
            "side": "langmerge", "run": "modules", "adapters": adapters, "method": method,
            "options": {"density": density}, "what": f"{method} p={density:g}, one layer",
            "times": LLAMA_LAYERS,
        }  # fmt: skip


def count_part(folder: Path, small: bool, rank: int) -> Iterator[Job]:
    """Part 3: time and memory as the number of adapters grows."""
    config = GEMMA | {"num_hidden_layers": 1 if small else 4}
    rank = min(rank, 16)
    most = 20 if small else 100
    paths = [str(make_adapter(folder / f"a{i}", shapes_of(config), rank, i)) for i in range(most)]
    for count in (5, 20, 100)[: 2 if small else 3]:
        for method, density in (("ties", 0.5), ("dare_ties", 0.5)):
            what = f"{method} p={density:g}, {count} adapters"
            yield {
                "side": "langmerge", "run": "modules", "adapters": paths[:count], "method": method,
                "options": {"density": density}, "what": what,
            }  # fmt: skip


def shapes_of(config: Mapping[str, int]) -> Shapes:
    """Return the linear layers of a decoder as (rows, columns), by module."""
    hidden, wide, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries = head * config["num_attention_heads"]
    keys = head * config["num_key_value_heads"]
    layer = {
        "self_attn.q_proj": (queries, hidden),
        "self_attn.k_proj": (keys, hidden),
        "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, queries),
        "mlp.gate_proj": (wide, hidden),
        "mlp.up_proj": (wide, hidden),
        "mlp.down_proj": (hidden, wide),
    }
    return {
        f"model.layers.{i}.{name}": shape
        for i in range(config["num_hidden_layers"])
        for name, shape in layer.items()
    }


def make_adapter(folder: Path, shapes: Shapes, rank: int, seed: int) -> Path:
    """Write a random adapter of those shapes."""
    import torch

    from langmerge.adapter import Adapter, LoraFactors

    draw = torch.Generator().manual_seed(seed)
    factors = {
        name: LoraFactors(
            0.02 * torch.randn(rank, columns, generator=draw),
            0.02 * torch.randn(rows, rank, generator=draw),
        )
        for name, (rows, columns) in shapes.items()
    }
    return Adapter.from_factors(factors, base_model="gemma").save(folder)


def make_checkpoint(folder: Path, config: Mapping[str, int]) -> Path:
    """Write a Gemma 3 checkpoint with random weights in bf16."""
    import torch

    model = gemma_model(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    return folder


def gemma_model(config: Mapping[str, int]) -> Any:
    """Return a Gemma 3 of those sizes, its weights as they come."""
    import transformers

    kinds = ["sliding_attention"] * config["num_hidden_layers"]
    return transformers.Gemma3ForCausalLM(
        transformers.Gemma3TextConfig(**config, layer_types=kinds, max_position_embeddings=2048)
    )


def make_folded(folder: Path, base: Path, adapter: str) -> Path:
    """Write base plus one adapter: what mergekit starts from."""
    from langmerge.merging import into_model

    return into_model([adapter], base, folder, "linear")


def _run_into_model(job: Job) -> None:
    from langmerge.merging import into_model

    into_model(job["adapters"], job["base"], job["out"], job["method"], **job["options"])


def _run_copy(job: Job) -> None:
    shutil.copytree(job["base"], job["out"])


def _run_adapter(job: Job) -> None:
    from langmerge.merging import merge

    merged = merge(job["adapters"], job["method"], rank=job["rank"], **job["options"])
    merged.save(job["out"])


def _run_modules(job: Job) -> None:
    """Merge every module and let it go: the merge itself, without what is made of it."""
    from langmerge.merging.merger import Merger
    from langmerge.merging.threads import map_threads

    merger = Merger(job["adapters"], job["method"], job["options"])
    for _ in map_threads(merger.module, merger.modules, merger.workers):
        pass


def _prepare_peft(job: Job) -> Callable[[], None]:
    from peft import PeftModel

    # Without the large embedding, which PEFT does not touch.
    model: Any = gemma_model(job["config"] | {"vocab_size": 512})
    names = [f"a{i}" for i in range(len(job["adapters"]))]
    model = PeftModel.from_pretrained(model, job["adapters"][0], adapter_name=names[0])
    for name, path in zip(names[1:], job["adapters"][1:], strict=True):
        model.load_adapter(path, adapter_name=name)

    def run() -> None:
        model.add_weighted_adapter(
            adapters=names,
            weights=[1.0] * len(names),
            adapter_name="merged",
            combination_type=f"{job['method']}_svd",
            density=job["options"]["density"],
            svd_rank=job["rank"],
        )

    return run


def _prepare_mergekit(job: Job) -> Callable[[], None]:
    from mergekit.config import MergeConfiguration
    from mergekit.merge import MergeOptions, run_merge

    each = {"weight": 1.0} | job["options"]
    config = MergeConfiguration.model_validate(
        {
            "merge_method": job["method"],
            "base_model": job["base"],
            "models": [{"model": path, "parameters": each} for path in job["models"]],
            "dtype": "bfloat16",
        }
    )
    options = MergeOptions(copy_tokenizer=False, quiet=True, write_model_card=False, random_seed=0)
    return lambda: run_merge(config, job["out"], options)


def _measured(job: Job) -> Job:
    """Run one job in this process and return what it took."""
    prepare: dict[str, Callable[[Job], Callable[[], None]]] = {
        "into_model": lambda j: lambda: _run_into_model(j),
        "adapter": lambda j: lambda: _run_adapter(j),
        "modules": lambda j: lambda: _run_modules(j),
        "copy": lambda j: lambda: _run_copy(j),
        "peft": _prepare_peft,
        "mergekit": _prepare_mergekit,
    }
    import langmerge.merging.full_model  # noqa: F401 - imports are not timed, on either side

    run = prepare[job["run"]](job)
    before_mib = _peak_mib()
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    run()
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": seconds,
        "cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "peak_mib": _peak_mib(),
        "before_mib": before_mib,
    }


def _peak_mib() -> float:
    """Return this process's largest resident set, mapped files included.

    From /proc where there is one: `ru_maxrss` starts with the parent's.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def _in_own_process(job: Job) -> Job:
    if job.get("out"):
        shutil.rmtree(job["out"], ignore_errors=True)
    done = subprocess.run(
        [sys.executable, __file__, "--job", json.dumps(job)],
        capture_output=True,
        text=True,
        check=False,
    )
    row = {key: job[key] for key in ("what", "side", "times") if key in job}
    if done.returncode:
        return row | {"failed": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    return row | json.loads(done.stdout.strip().splitlines()[-1])


def _print_row(row: Job, rows: list[Job]) -> None:
    if "failed" in row:
        print(f"{row['what']:<44} {row['side']:<10} failed: {row['failed']}", flush=True)
        return
    other = next((r for r in rows if r["what"] == row["what"] and r is not row), None)
    ratio = ""
    if other and "seconds" in other:
        ratio = f"  {row['seconds'] / other['seconds']:.1f} times {other['side']}'s"
    whole = f"  {row['seconds'] * row['times']:.0f} s for the model" if "times" in row else ""
    print(
        f"{row['what']:<44} {row['side']:<10} {row['seconds']:8.2f} s  "
        f"{row['cpu_seconds']:8.2f} s CPU  {row['peak_mib']:6.0f} MiB{ratio}{whole}",
        flush=True,
    )


def _write(path: Path, part: str, small: bool, rows: list[Job]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"part": part, "small": small, "machine": _machine(), "rows": rows}
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _machine() -> Job:
    versions = {}
    for package in ("langmerge", "torch", "peft", "mergekit", "transformers"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        "versions": versions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((x.partition(": ")[2] for x in lines if x.startswith("model name")), "unknown")


if __name__ == "__main__":
    main()
