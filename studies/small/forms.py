"""What the study runs: its sizes for a GPU, for a CPU and for a smoke test, and its recipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from langmerge.choose.candidates import Candidate
from langmerge.merging.auto import CANDIDATES

Recipe = Mapping[str, Any]

MAIN = ("en", "de", "fr", "ja", "zh")
TASK_LANGUAGES = {
    "topic": MAIN,
    "reasoning": MAIN,
    "summarization": MAIN,
    "sentiment": ("en", "zh"),
}
ADDED = {
    "topic": ("es", "da", "pl", "ko", "sk"),
    "summarization": ("es", "da", "pl", "ko", "sk"),
    "reasoning": ("sw", "ha", "yo", "hi", "es"),
}
PROMPTS = {
    "topic": "{text}\nTopic:",
    "sentiment": "{text}\nSentiment:",
    "reasoning": "Question: {question}\nAnswer:",
    "summarization": "{text}\nSummary:",
}
METRICS = {
    "topic": "macro-F1",
    "sentiment": "macro-F1",
    "reasoning": "accuracy (log-likelihood per byte)",
    "summarization": "ROUGE-L",
}
WITHHELD = ("topic", "en", "games")
"""The label that one language's training rows lack, in the test of the paper's explanation."""

SURVEY, VECTORS = "survey", "vectors"
"""Raw results by these names are of the parts that choose nothing."""
WIDE = "wide"
"""Raw results by this name are of the first initialization's adapters, on the widest test."""
HALF = "half-ancestor"
HALF_SHARE = 0.5
"""Likewise, of adapters whose ancestor is made of this share of all rows."""
FROM_COMBINED = "from-combined"
"""Likewise, of all rows, so that the ancestor is the combined model."""
FROM_FURTHER = "from-further"
"""Likewise, the combined model being of a setting that was found when all else was trained."""
GENTLE = 0.4
"""What the learning rate of such adapters is of their ancestor's, which has taught them much."""

CROSSED: Recipe = {"method": "ties", "density": 1.0, "lambda": 1.5}
"""How adapters of several tasks and languages are merged, chosen beforehand."""

REFERENCES: Mapping[str, Recipe] = {
    "mean": {"method": "linear"},
    "ta-0.4": {"method": "task_arithmetic", "lambda": 0.4},
    "ties-1": {"method": "ties", "density": 1.0},
    "dare-ties-0.8": {"method": "dare_ties", "density": 0.8},
    "knots-ties-1": {"method": "knots_ties", "density": 1.0},
    "pico": {"method": "pico"},
}
"""Measured on test whatever dev says: what people would use without choosing."""


@dataclass(frozen=True)
class Form:
    """One size of the study.

    Attributes:
        train: rows of a language at most, by task.
        dev: likewise, for choosing.
        test: likewise, for reporting.
        wide: likewise, for what is close together.
        wide_dev: likewise, of dev.
        seeds: of the first initialization; the first is also that of all other parts.
        candidates: the recipes among which dev chooses.
        init_candidates: likewise, for the other initializations; some of the candidates.
        survey: further recipes, asked on dev with the first seed when all is chosen.
        finalists: how many of the best with the first seed are asked with the others, too.
        test_recipes: at most so many recipes are ever measured on test.
        adapter: LoRA settings.
        training: training settings.
        evaluation_tokens: in one forward pass.
        added: how many further languages of each task are added.
        curve: rows of the low-resource language in the learning curves.
        curve_languages: the low-resource languages.
        combined_curve: whether the combined model is trained at each point, too.
        updates: how many updates the upkeep part goes through.
        upkeep: rows of a language there: in the beginning, in an update, of test.
        tasks: the tasks; a run may be restricted to some of them.
        combined_trials: other training settings of the combined model, by name.
        further_trials: likewise, looked at when adapters had been trained by the best of those.
        alignment: those of the short training of a merge on dev rows.
        references: recipes that are measured on test whatever dev says.
        inits: what adapters start from; the first of them with every seed.
        languages: of every task.
    """

    train: Mapping[str, int]
    dev: Mapping[str, int]
    test: Mapping[str, int]
    wide: Mapping[str, int]
    wide_dev: Mapping[str, int]
    seeds: tuple[int, ...]
    candidates: Mapping[str, Recipe]
    init_candidates: Mapping[str, Recipe]
    finalists: int
    test_recipes: int
    adapter: Mapping[str, Any]
    training: Mapping[str, Any]
    evaluation_tokens: int
    added: int
    curve: tuple[int, ...]
    curve_languages: tuple[str, ...]
    combined_curve: bool
    updates: int
    upkeep: tuple[int, int, int]
    tasks: tuple[str, ...] = ("topic", "reasoning", "summarization", "sentiment")
    combined_trials: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    further_trials: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    alignment: Mapping[str, Any] = field(
        default_factory=lambda: {"learning_rate": 2e-4, "num_train_epochs": 1}
    )
    references: Mapping[str, Recipe] = field(default_factory=lambda: REFERENCES)
    survey: Mapping[str, Recipe] = field(default_factory=dict)
    inits: tuple[str, ...] = ("shared", "separate", "ancestor")
    languages: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: TASK_LANGUAGES)


def _each(rows: int, **others: int) -> dict[str, int]:
    """Return a number of rows for every task, but for those that are named."""
    return dict.fromkeys(TASK_LANGUAGES, rows) | others


def _grid(name: str, method: str, lambdas: tuple[float, ...], **options: Any) -> dict[str, Recipe]:
    return {
        name if scale == 1 else f"{name}-x{scale:g}": {"method": method, "lambda": scale, **options}
        for scale in lambdas
    }


def auto_names(form: Form) -> list[str]:
    """Return the form's candidates that `merge: auto` has, too, in its order."""
    keys = {Candidate(recipe).key(MAIN): name for name, recipe in form.candidates.items()}
    auto = [Candidate(recipe).key(MAIN) for recipe in CANDIDATES]
    return [keys[key] for key in auto if key in keys]


def _few() -> dict[str, Recipe]:
    """Return one or two recipes of every family."""
    return {
        **REFERENCES,
        **_grid("mean", "linear", (0.5, 1.5, 2.0)),
        **_grid("ties-1", "ties", (0.5, 1.5), density=1.0),
        **_grid("ties-0.2", "ties", (1.0, 1.5), density=0.2),
        **_grid("ties-0.5", "ties", (1.0, 0.7), density=0.5),
        **_grid("dare-ties-0.8", "dare_ties", (0.5,), density=0.8),
        **_grid("knots-ties-1", "knots_ties", (0.5, 1.5), density=1.0),
        **_grid("knots-ties-0.5", "knots_ties", (1.0,), density=0.5),
        **_grid("della-0.7", "della", (1.0,), density=0.7),
        **_grid("breadcrumbs", "breadcrumbs", (1.5,), density=0.85),
        **_grid("sce", "sce", (1.0,)),
        **_grid("svc", "svc", (1.0, 0.5)),
        **_grid("tsv-m", "tsv_m", (1.0, 0.5)),
        **_grid("iso-c", "iso_c", (0.7, 0.5)),
        **_grid("robust", "robust_merge", (1.5,)),
        **_grid("wudi", "wudi_ridge", (1.0,)),
        **_grid("ctm", "compress_merge", (1.5,)),
        **_grid("stock", "model_stock", (2.0,)),
        **_grid("core-ties-1", "ties", (1.0,), density=1.0, space="core"),
    }


def _fewer() -> dict[str, Recipe]:
    """Return what `merge: auto` chooses among, and one or two methods more."""
    names = (
        "ties-1", "ties-1-x0.5", "ties-1-x1.5", "ties-0.5", "ties-0.2",
        "mean", "mean-x0.5", "mean-x2", "dare-ties-0.8", "dare-ties-0.8-x0.5",
        "knots-ties-1", "knots-ties-1-x0.5", "tsv-m-x0.5", "iso-c-x0.5", "svc-x0.5", "pico", "wudi",
    )  # fmt: skip
    few = _few()
    return {name: few[name] for name in names}


def _survey() -> dict[str, Recipe]:
    """Return every family, by density, at the usual scale, and some at half of it."""
    scales = (1.0, 0.5)
    found = _grid("mean", "linear", (1.0, 0.5, 2.0)) | {"ta-0.4": REFERENCES["ta-0.4"]}
    for p in (0.1, 0.2, 0.3, 0.5, 0.8, 1.0):
        found |= _grid(f"ties-{p:g}", "ties", scales if p in {0.2, 1.0} else (1.0,), density=p)
    for p in (0.2, 0.5, 0.8):
        found |= _grid(f"dare-ties-{p:g}", "dare_ties", (1.0,), density=p)
    for p in (0.5, 0.8):
        found |= _grid(f"dare-linear-{p:g}", "dare_linear", (1.0,), density=p)
    for p in (0.2, 0.5, 1.0):
        found |= _grid(f"knots-ties-{p:g}", "knots_ties", (1.0,), density=p)
    found |= _grid("core-ties-1", "ties", scales, density=1.0, space="core")
    found |= _grid("della-0.7", "della", scales, density=0.7)
    found |= _grid("breadcrumbs", "breadcrumbs", scales, density=0.85)
    for name, method in (
        ("sce", "sce"), ("robust", "robust_merge"), ("ctm", "compress_merge"),
        ("pico", "pico"), ("svc", "svc"), ("tsv-m", "tsv_m"),
    ):  # fmt: skip
        found |= _grid(name, method, scales)
    found |= _grid("iso-c", "iso_c", (0.7, 0.5)) | _grid("stock", "model_stock", (1.0, 2.0))
    return found | _grid("wudi", "wudi_ridge", (1.0,))


def _many() -> dict[str, Recipe]:
    """Return all methods, at densities from 0.1 to 1 and several scales."""
    scales = (0.7, 1.0, 1.5, 2.0)
    found = _few() | _grid("mean", "linear", (0.7, 1.0, 1.5, 2.0, 3.0))
    for scale in (0.2, 0.3, 0.4, 0.6, 1.0):
        found[f"ta-{scale:g}"] = {"method": "task_arithmetic", "lambda": scale}
    for p in (0.1, 0.2, 0.3, 0.5, 0.8, 1.0):
        found |= _grid(f"ties-{p:g}", "ties", scales, density=p)
        found |= _grid(f"knots-ties-{p:g}", "knots_ties", (1.0, 1.5, 2.0), density=p)
        found |= _grid(f"core-ties-{p:g}", "ties", (1.0, 1.5), density=p, space="core")
        found |= _grid(f"dare-ties-{p:g}", "dare_ties", (1.0, 1.5), density=p)
        found |= _grid(f"dare-linear-{p:g}", "dare_linear", (1.0, 1.5), density=p)
        found |= _grid(f"sce-{p:g}", "sce", (1.0, 1.5), density=p)
    for p in (0.3, 0.5, 0.7):
        found |= _grid(f"della-{p:g}", "della", (1.0, 1.5), density=p)
        found |= _grid(f"breadcrumbs-{p:g}", "breadcrumbs_ties", (1.0, 1.5), density=p)
    for name, method in (("svc", "svc"), ("tsv-m", "tsv_m"), ("iso-c", "iso_c")):
        found |= _grid(name, method, (0.3, 0.5, 0.7, 1.0))
    for name, method in (("robust", "robust_merge"), ("wudi", "wudi_ridge"), ("pico", "pico")):
        found |= _grid(name, method, scales)
    found |= _grid("pico-ties", "pico", scales, merge="ties")
    found |= _grid("wudi-1", "wudi_ridge", scales, ridge=1.0)
    found |= _grid("ctm", "compress_merge", scales)
    found |= _grid("ctm-mean-w2", "compress_merge", scales, merge="mean", width=2.0)
    return found | _grid("stock", "model_stock", (1.0, 2.0, 3.0))


_LINEAR = {"lr_scheduler_type": "linear", "warmup_ratio": 0.1, "max_length": 384}

FORMS: Mapping[str, Form] = {
    "gpu": Form(
        train=_each(3000),
        dev=_each(200),
        test=_each(500),
        wide=_each(500),
        wide_dev=_each(500),
        seeds=(0, 1, 2),
        candidates=_many(),
        init_candidates=_few(),
        finalists=40,
        test_recipes=12,
        adapter={"r": 64, "lora_alpha": 64},
        training={
            "learning_rate": 2e-4,
            "num_train_epochs": 2,
            "per_device_train_batch_size": 16,
            **_LINEAR,
        },
        evaluation_tokens=65536,
        added=5,
        curve=(30, 100, 300, 1000, 3000),
        curve_languages=("sw", "ha", "yo", "hi"),
        combined_curve=True,
        updates=10,
        upkeep=(1000, 100, 200),
        combined_trials={
            "half the rate": {"learning_rate": 1e-4},
            "a quarter of the rate": {"learning_rate": 5e-5},
            "twice the rate": {"learning_rate": 4e-4},
            "one epoch": {"num_train_epochs": 1},
            "four epochs": {"num_train_epochs": 4},
            "half the batch": {"per_device_train_batch_size": 8},
            "four times the batch": {"per_device_train_batch_size": 64},
        },
    ),
    "cpu": Form(
        # Questions and reviews are short, and 150 questions teach this model nothing.
        train=_each(150, reasoning=400, sentiment=400),
        dev={"topic": 40, "reasoning": 40, "summarization": 16, "sentiment": 80},
        test={"topic": 120, "reasoning": 150, "summarization": 40, "sentiment": 200},
        wide=_each(500, summarization=120),
        wide_dev=_each(200, summarization=60),
        seeds=(0, 1, 2),
        candidates=_fewer(),
        init_candidates={
            name: _fewer()[name]
            for name in ("ties-1", "ties-1-x1.5", "mean", "mean-x0.5", "mean-x2", "iso-c-x0.5")
        },
        survey=_survey(),
        finalists=1,
        test_recipes=4,
        adapter={"r": 16, "lora_alpha": 32},
        training={
            "learning_rate": 1e-3,
            "num_train_epochs": 1,
            "per_device_train_batch_size": 4,
            "dtype": "bfloat16",
            "grouping": "grouped",
            "ancestor": {"share": 0.25},
            **_LINEAR,
        },
        evaluation_tokens=4096,
        added=1,
        curve=(30, 100, 300),
        curve_languages=("sw",),
        combined_curve=False,
        updates=10,
        upkeep=(60, 12, 40),
        references={name: REFERENCES[name] for name in ("ties-1", "mean")},
        inits=("ancestor", "shared", "separate"),
        combined_trials={
            "half the rate": {"learning_rate": 5e-4},
            "twice the batch": {"per_device_train_batch_size": 8},
        },
        further_trials={
            "a quarter of the rate": {"learning_rate": 2.5e-4},
            "half the rate, two epochs": {"learning_rate": 5e-4, "num_train_epochs": 2},
        },
    ),
    "tiny": Form(
        train=_each(8),
        dev=_each(4),
        test=_each(6),
        wide=_each(8),
        wide_dev=_each(5),
        seeds=(0, 1),
        candidates={**REFERENCES, **_grid("svc", "svc", (1.0,))},
        init_candidates=REFERENCES,
        survey=_grid("ties-0.5", "ties", (1.0,), density=0.5) | _grid("sce", "sce", (1.0,)),
        finalists=2,
        test_recipes=12,
        adapter={"r": 4, "lora_alpha": 8},
        training={
            "learning_rate": 3e-2,
            "num_train_epochs": 3,
            "per_device_train_batch_size": 4,
            **_LINEAR,
        },
        evaluation_tokens=4096,
        added=1,
        curve=(2, 4),
        curve_languages=("sw",),
        combined_curve=False,
        updates=2,
        upkeep=(8, 2, 10),
        combined_trials={"half the rate": {"learning_rate": 1.5e-2}},
        further_trials={"one epoch": {"num_train_epochs": 1}, "six": {"num_train_epochs": 6}},
        tasks=("reasoning", "sentiment", "topic"),
        languages={"topic": ("en", "de"), "reasoning": ("en", "de"), "sentiment": ("en", "zh")},
    ),
}
