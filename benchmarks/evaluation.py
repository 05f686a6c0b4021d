"""The same multiple-choice questions scored by langmerge and by lm-evaluation-harness.

    python benchmarks/evaluation.py random          # random weights, a vocabulary of 32,000
    python benchmarks/evaluation.py FOLDER          # a checkpoint, such as Gemma 3 270M

Both sides get the same model in memory, questions, prompts, threads and limit of tokens in a
forward pass; each runs in a process of its own. lm-eval counts rows, not tokens: as many of the
longest sequence as the limit holds, and 8 and 1 besides, since fewer can be faster; its best time
counts. Timed is the scoring, from questions to the log-likelihood of every choice, tokenizing
included; loading the model and the data, and lm-eval's bookkeeping, are not. Accuracies must be
equal, or the benchmark fails. `--json FILE` keeps the rows.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

Job = dict[str, Any]

LANGUAGES = ("en", "de", "fr", "ja", "zh")
PROMPT = "Question: {question}\nAnswer:"
TASK = "questions"
RANDOM = {
    "hidden_size": 768,
    "intermediate_size": 2048,
    "num_hidden_layers": 8,
    "num_attention_heads": 12,
    "num_key_value_heads": 4,
    "vocab_size": 32_000,
    "initializer_range": 0.1,
}
OTHER_ROWS = (8, 1)


def main() -> None:
    """Run both sides, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", nargs="?", help="random, or the folder of a checkpoint")
    parser.add_argument("--questions", type=Path, help="JSONL: id, question, choices, answer")
    parser.add_argument("--count", type=int, default=100, help="how many questions")
    parser.add_argument("--shots", type=int, default=0, help="examples before every question")
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", type=int, nargs="*", help="lm-eval's batches, instead of three")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        print(json.dumps(measured(json.loads(arguments.job))))
        return
    if arguments.model is None:
        parser.error("expected a model: random, or the folder of a checkpoint")
    with tempfile.TemporaryDirectory(prefix="langmerge-bench-") as folder:
        run(arguments, Path(folder))


def run(arguments: argparse.Namespace, folder: Path) -> None:
    """Measure every side; fail if they disagree."""
    questions = read_questions(arguments.questions, arguments.count)
    file = folder / "questions.jsonl"
    file.write_text("".join(f"{json.dumps(question)}\n" for question in questions), "utf-8")
    prompt = shots_of(questions[: arguments.shots]) + PROMPT
    named = arguments.model
    model = make_random(folder / "base", questions) if named == "random" else Path(named)
    longest = longest_sequence(model, questions, prompt)
    job = {
        "model": str(model), "file": str(file), "prompt": prompt, "folder": str(folder),
        "batch_tokens": arguments.batch_tokens, "threads": arguments.threads,
    }  # fmt: skip
    batches = arguments.rows or [max(1, arguments.batch_tokens // longest), *OTHER_ROWS]
    ours = in_own_process(job | {"side": "langmerge"})
    theirs = [in_own_process(job | {"side": "lm-eval", "rows": rows}) for rows in batches]
    found = {
        "model": named if named == "random" else Path(named).name,
        "questions": len(questions),
        "shots": arguments.shots,
        "longest": longest,
        "batch_tokens": arguments.batch_tokens,
        "threads": arguments.threads,
        "environment": environment(),
        "langmerge": ours,
        "lm-eval": theirs,
        **compared(ours, theirs),
    }
    show(found)
    if arguments.json:
        write(arguments.json, found)
    if not found["agree"]:
        sys.exit("the two sides do not agree")


def read_questions(path: Path | None, count: int) -> list[Job]:
    """Return questions from a file, or as many of every language from the quickstart's data."""
    if path is not None:
        lines = path.read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines][:count]
    from importlib.resources import files

    data = files("langmerge.quickstart") / "data" / "reasoning"
    questions = []
    for language in LANGUAGES:
        for split in ("test", "dev", "train"):
            text = (data / language / f"{split}.jsonl").read_text("utf-8")
            questions += [(language, json.loads(line)) for line in text.splitlines()]
    each = -(-count // len(LANGUAGES))
    chosen = [
        question
        for language in LANGUAGES
        for question in [row for of, row in questions if of == language][:each]
    ]
    keys = ("id", "question", "choices", "answer")
    return [{key: question[key] for key in keys} for question in chosen][:count]


def shots_of(questions: Sequence[Job]) -> str:
    """Return answered questions as the beginning of every prompt, braces doubled."""
    texts = [
        PROMPT.format(question=question["question"]) + f" {question['choices'][question['answer']]}"
        for question in questions
    ]
    return "".join(f"{text}\n\n" for text in texts).replace("{", "{{").replace("}", "}}")


def make_random(folder: Path, questions: Sequence[Job]) -> Path:
    """Write a Llama of random weights and a tokenizer learned from the questions."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    texts = [text for each in questions for text in (each["question"], *each["choices"])]
    backend.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=2000,
            special_tokens=["<s>", "</s>"],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    torch.manual_seed(0)
    config = LlamaConfig(**RANDOM, bos_token_id=0, eos_token_id=1, pad_token_id=1)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def longest_sequence(model: Path, questions: Sequence[Job], prompt: str) -> int:
    """Return the tokens of the longest prompt with a choice."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    texts = (
        f"{prompt.format(question=each['question'])} {choice}"
        for each in questions
        for choice in each["choices"]
    )
    return max(len(tokenizer(text).input_ids) for text in texts)


def measured(job: Job) -> Job:
    """Run one side in this process; return its accuracies, log-likelihoods and time."""
    import torch

    torch.set_num_threads(job["threads"])
    prepare = {"langmerge": prepare_langmerge, "lm-eval": prepare_lm_eval}[job["side"]]
    score, finish = prepare(job, load(job["model"]))
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    score()
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "side": job["side"],
        "rows": job.get("rows"),
        "seconds": seconds,
        "cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "peak_mib": after.ru_maxrss / 1024,
        **finish(),
    }


def load(folder: str) -> Any:
    """Return the model that both sides use, in fp32 on the CPU."""
    from langmerge.base import resolve_base
    from langmerge.model import load_base

    path = Path(folder)
    return load_base(resolve_base(str(path), path, path.parent / "cache"), "cpu", "float32")


def prepare_langmerge(job: Job, base: Any) -> tuple[Callable[[], None], Callable[[], Job]]:
    """Return what is timed and what tells its result."""
    from langmerge.data import FileSource, read_split
    from langmerge.encoding import Encoder
    from langmerge.evaluate.predict import predict_rows
    from langmerge.examples import Presenter
    from langmerge.tasks import MultipleChoice

    task = MultipleChoice(
        type="multiple_choice",
        data={"train": job["file"], "test": job["file"]},  # type: ignore[arg-type]
        prompt=job["prompt"],
    )
    rows = read_split(FileSource(Path(job["file"])), task.row_spec("und", {}, None)).rows
    presenter = Presenter(task, "und", Encoder(base.tokenizer, 100_000))
    predict_rows(base, presenter, rows[:2], job["batch_tokens"])  # to warm up
    kept: list[Any] = []

    def score() -> None:
        kept.extend(predict_rows(base, presenter, rows, job["batch_tokens"])[0])

    def finish() -> Job:
        values = {metric.name: metric.value for metric in task.measure(kept, "und")}
        return {
            "accuracy": values["accuracy"] / 100,
            "accuracy_per_byte": values["accuracy_norm"] / 100,
            "scores": {prediction.id: list(prediction.scores) for prediction in kept},
        }

    return score, finish


def prepare_lm_eval(job: Job, base: Any) -> tuple[Callable[[], None], Callable[[], Job]]:
    """Return what is timed, lm-eval's `loglikelihood`, and what runs the task around it."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    folder = write_task(Path(job["folder"]) / "tasks", job)
    os.environ["HF_DATASETS_CACHE"] = str(Path(job["folder"]) / "datasets")
    asked: list[Any] = []
    answers: list[Any] = []

    class Recording(HFLM):  # type: ignore[misc]
        """Keeps the requests at first, and gives the answers when they are there."""

        def loglikelihood(self, requests: list[Any], disable_tqdm: bool = True) -> list[Any]:
            asked[:] = requests
            return answers or [(0.0, False)] * len(requests)

    model = Recording(
        pretrained=base.model, tokenizer=base.tokenizer, batch_size=job["rows"], max_length=100_000
    )

    def evaluate() -> Any:
        return lm_eval.simple_evaluate(
            model,
            verbosity="ERROR",
            tasks=[TASK],
            task_manager=TaskManager(include_path=str(folder), include_defaults=False),
            bootstrap_iters=0,
        )

    evaluate()
    HFLM.loglikelihood(model, asked[:4], disable_tqdm=True)  # to warm up

    def score() -> None:
        answers.extend(HFLM.loglikelihood(model, list(asked), disable_tqdm=True))

    def finish() -> Job:
        found = evaluate()
        return {
            "accuracy": found["results"][TASK]["acc,none"],
            "accuracy_per_byte": found["results"][TASK]["acc_bytes,none"],
            "scores": {
                sample["doc"]["id"]: [answer[0] for answer in sample["filtered_resps"]]
                for sample in found["samples"][TASK]
            },
        }

    return score, finish


def write_task(folder: Path, job: Job) -> Path:
    """Write the harness's task over the same file and prompt."""
    import yaml

    folder.mkdir(exist_ok=True)
    before, _, after = job["prompt"].replace("{{", "{").replace("}}", "}").partition("{question}")
    task = {
        "task": TASK,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": job["file"]}},
        "test_split": "test",
        "output_type": "multiple_choice",
        # Jinja drops a last newline, and examples may hold its signs.
        "doc_to_text": "{{ before + question + after }}".replace(
            "before", json.dumps(before)
        ).replace("after", json.dumps(after)),
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_bytes"}],
    }
    (folder / f"{TASK}.yaml").write_text(yaml.safe_dump(task), "utf-8")
    return folder


def in_own_process(job: Job) -> Job:
    """Return what `measured` returns in a fresh process."""
    threads = str(job["threads"])
    done = subprocess.run(
        [sys.executable, __file__, "--job", json.dumps(job)],
        env={**os.environ, "OMP_NUM_THREADS": threads, "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    result: Job = json.loads(done.stdout.splitlines()[-1])
    return result


def compared(ours: Job, theirs: Sequence[Job]) -> Job:
    """Return ratios of times and the largest difference of a log-likelihood; drop the scores."""
    scores = ours.pop("scores")
    largest = 0.0
    for each in theirs:
        other = each.pop("scores")
        pairs = [
            (mine, yours)
            for question, row in scores.items()
            for mine, yours in zip(row, other[question], strict=True)
        ]
        largest = max(largest, *(abs(mine - yours) for mine, yours in pairs))
    names = ("accuracy", "accuracy_per_byte")
    return {
        "agree": all(abs(ours[name] - each[name]) < 1e-9 for each in theirs for name in names),
        "largest_difference": largest,
        "ratio": min(each["seconds"] for each in theirs) / ours["seconds"],
        "cpu_ratio": min(each["cpu_seconds"] for each in theirs) / ours["cpu_seconds"],
    }


def environment() -> Job:
    """Return machine, date and versions."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        if line.startswith("model name")
    ]
    packages = ("torch", "transformers", "lm_eval")
    return {
        "machine": f"{models[0] if models else platform.processor()}, {os.cpu_count()} cores",
        "load": round(os.getloadavg()[0], 1),
        "date": datetime.now(timezone.utc).date().isoformat(),
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


def show(found: Job) -> None:
    """Print the table."""
    print(
        f"{found['model']}: {found['questions']} questions, {found['shots']} shots, longest "
        f"sequence {found['longest']} tokens, {found['batch_tokens']} tokens in a batch, "
        f"{found['threads']} threads"
    )
    print("| side | seconds | CPU seconds | peak MiB | accuracy | per byte |")
    print("|---|---|---|---|---|---|")
    for row in (found["langmerge"], *found["lm-eval"]):
        side = row["side"] if row["rows"] is None else f"{row['side']}, {row['rows']} rows"
        print(
            f"| {side} | {row['seconds']:.1f} | {row['cpu_seconds']:.1f} | {row['peak_mib']:,.0f} "
            f"| {row['accuracy']:.4f} | {row['accuracy_per_byte']:.4f} |"
        )
    print(
        f"lm-eval's best time is {found['ratio']:.1f} times ours ({found['cpu_ratio']:.1f} by CPU "
        f"time); log-likelihoods differ by at most {found['largest_difference']:.1e}; accuracies "
        f"{'are equal' if found['agree'] else 'DIFFER'}."
    )


def write(path: Path, found: Job) -> None:
    """Add the result to the file, in place of an earlier one of the same settings."""
    settings = ("model", "questions", "shots", "batch_tokens", "threads")
    earlier = json.loads(path.read_text("utf-8")) if path.exists() else []
    kept = [each for each in earlier if any(each[key] != found[key] for key in settings)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([*kept, found], indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
