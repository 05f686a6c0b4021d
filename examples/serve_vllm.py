r"""Serve a merged adapter and every language's own with vLLM, and compare their answers.

```
langmerge export served/merged
langmerge export served/de --model individual --language de
langmerge export served/ja --model individual --language ja
pip install 'langmerge[vllm]'
python examples/serve_vllm.py --base path/to/base --adapters served \
    --data data/{language}/test.jsonl
```

All adapters are in one engine (multi-LoRA): the base is in memory once, and each request names its
adapter. For every language it asks the merged adapter and the language's own, prints what each
answers, how often they agree, and how often each is right. With `--print-server` it prints the
command that serves the same adapters over HTTP, and stops.
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MERGED = "merged"


@dataclass(frozen=True)
class Served:
    """An adapter's folder, its name in requests, and the rank it needs."""

    name: str
    folder: Path
    rank: int


def adapters_in(folder: Path) -> list[Served]:
    """Return the adapters in the folders below, `merged` first.

    Raises:
        SystemExit: if vLLM would not take one of them.
    """
    from langmerge.adapter import Adapter
    from langmerge.servers import limits, vllm_rank

    found = []
    for config in sorted(folder.glob("*/adapter_config.json")):
        adapter = Adapter.load(config.parent)
        for limit in limits(adapter):
            raise SystemExit(f"{config.parent}: {limit}")
        found.append(Served(config.parent.name, config.parent, vllm_rank(adapter) or 0))
    if MERGED not in {served.name for served in found}:
        raise SystemExit(f"{folder}: expected {MERGED}/ beside the languages' adapters")
    return sorted(found, key=lambda served: (served.name != MERGED, served.name))


def server_command(base: str, adapters: Sequence[Served]) -> str:
    """Return the command of vLLM's OpenAI-compatible server with all adapters loaded."""
    modules = [f"{served.name}={served.folder.resolve()}" for served in adapters]
    rank = max(served.rank for served in adapters)
    command = ["vllm", "serve", base, "--enable-lora", "--max-lora-rank", str(rank)]
    return shlex.join([*command, "--max-loras", str(len(adapters)), "--lora-modules", *modules])


def rows_of(path: Path, limit: int) -> list[dict[str, Any]]:
    """Return the first rows of a JSON Lines file."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for _, line in zip(range(limit), file, strict=False)]


def right_answer(row: Mapping[str, Any]) -> str:
    """Return what the answer of a row should be."""
    if "choices" in row:
        return str(row["choices"][int(row["answer"])])
    return str(row.get("label", row.get("summary", "")))


def compare(answers: Mapping[str, Sequence[str]], right: Sequence[str]) -> Iterator[str]:
    """Yield how often the models agree with each other, and with the right answers."""
    names = list(answers)
    total = len(right)
    for name in names:
        hits = sum(a.strip() == r.strip() for a, r in zip(answers[name], right, strict=True))
        yield f"  {name}: right {hits}/{total}"
    first, *others = names
    for other in others:
        same = sum(a == b for a, b in zip(answers[first], answers[other], strict=True))
        yield f"  {first} and {other} agree on {same}/{total}"


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--base", required=True, help="the base's folder or Hub id")
    parser.add_argument("--adapters", type=Path, required=True, help="folder of exported adapters")
    parser.add_argument("--data", help="rows, with {language} in the path")
    parser.add_argument("--prompt", default="{text}\nLabel:", help="the task's prompt")
    parser.add_argument("--rows", type=int, default=20)
    parser.add_argument("--max-tokens", type=int, default=16)
    parser.add_argument("--print-server", action="store_true")
    arguments = parser.parse_args()
    adapters = adapters_in(arguments.adapters)
    if arguments.print_server:
        print(server_command(arguments.base, adapters))
        return
    if arguments.data is None:
        parser.error("--data is missing: rows to compare on, such as 'data/{language}/test.jsonl'")

    from vllm import LLM, SamplingParams
    from vllm.lora.request import LoRARequest

    engine = LLM(
        model=arguments.base,
        enable_lora=True,
        max_lora_rank=max(served.rank for served in adapters),
        max_loras=len(adapters),
        seed=0,
    )
    requests = {
        served.name: LoRARequest(served.name, number, str(served.folder))
        for number, served in enumerate(adapters, start=1)
    }
    sampling = SamplingParams(temperature=0.0, max_tokens=arguments.max_tokens, stop=["\n"])
    for language in (served.name for served in adapters if served.name != MERGED):
        rows = rows_of(Path(arguments.data.format(language=language)), arguments.rows)
        prompts = [arguments.prompt.format_map(row) for row in rows]
        answers = {}
        for name in (MERGED, language):
            outputs = engine.generate(prompts, sampling, lora_request=requests[name])
            answers[name] = [output.outputs[0].text.strip() for output in outputs]
        print(language)
        for row, merged, own in zip(rows, answers[MERGED], answers[language], strict=True):
            if merged != own:
                print(f"  right {right_answer(row)!r}, merged {merged!r}, own {own!r}")
        for line in compare(answers, [right_answer(row) for row in rows]):
            print(line)


if __name__ == "__main__":
    main()
