"""Merge PEFT adapters in Python, look at the result, and load it with plain PEFT.

    python examples/merge_adapters.py adapters/de adapters/fr adapters/ja --out merged
    python examples/merge_adapters.py adapters/de adapters/fr --out merged --base path/to/base

Nothing but the adapters' folders is needed; with `--base` PEFT loads the merged adapter as well.
"""

from __future__ import annotations

import argparse

import langmerge


def main() -> None:
    """Inspect, merge, save, and load again."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("adapters", nargs="+", help="folders of PEFT adapters of one base")
    parser.add_argument("--out", default="merged", help="the folder to write")
    parser.add_argument("--base", help="the base model's folder")
    parser.add_argument("--rank", default="full", help="full, a number, or energy:0.99")
    chosen = parser.parse_args()

    # Configurations and headers alone say whether adapters merge; no tensor is read.
    report = langmerge.inspect_adapters(chosen.adapters)
    for problem in report.problems:
        print(f"problem: {problem}")

    rank = int(chosen.rank) if chosen.rank.isdecimal() else chosen.rank
    merged = langmerge.merge(chosen.adapters, method="ties", density=0.5, rank=rank)
    folder = merged.save(chosen.out)
    print(f"{folder}: {len(merged.modules)} modules, digest {merged.digest[:12]}")

    if chosen.base is not None:
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        base = AutoModelForCausalLM.from_pretrained(chosen.base)
        model = PeftModel.from_pretrained(base, str(folder))
        print(f"loaded by PEFT: {sum(p.numel() for p in model.parameters()):,} parameters")


if __name__ == "__main__":
    main()
