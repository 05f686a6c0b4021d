"""Text files measured: predictions and references of any origin, one item a line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from langmerge.data.messages import first_line, shown
from langmerge.errors import DataError, did_you_mean
from langmerge.metrics import Metric, classification_metrics
from langmerge.metrics.generation import chrf, copying, exact_match, length_ratio, rouge
from langmerge.metrics.language import wrong_language
from langmerge.metrics.tokenization import Tokenizer, tokenizer_for
from langmerge.statistics import Interval, bootstrap


@dataclass(frozen=True)
class Scored:
    """A metric of a file of predictions.

    Attributes:
        name: what tables call it.
        signature: everything needed to compute it again; compare only with the same.
        interval: its value and confidence interval.
    """

    name: str
    signature: str
    interval: Interval


@dataclass(frozen=True)
class _Texts:
    """What is measured, item by item, and how."""

    predictions: Sequence[str]
    references: Sequence[str]
    sources: Sequence[str] | None
    labels: Sequence[str]
    language: str
    tokenizer: Tokenizer


def score_files(
    predictions: Path,
    references: Path,
    *,
    language: str,
    metrics: Sequence[str] = ("rouge",),
    sources: Path | None = None,
    labels: Sequence[str] = (),
    groups: Path | None = None,
    segmented: bool = False,
    confidence: float = 0.95,
) -> list[Scored]:
    """Measure a file of predictions against a file of references, line by line.

    Args:
        predictions: the answers.
        references: the right answers, in the same order.
        language: their language's code; it decides the tokenizer.
        metrics: names in `METRICS`.
        sources: what the predictions were made from; `copying` needs it.
        labels: for `f1` and `accuracy`, all labels; those of the references by default. Another
            answer is unparseable.
        groups: what each line is about; lines of a group are resampled together. By default
            every line stands alone.
        segmented: take words of a segmenter for tokens in Japanese, Chinese and Thai.
        confidence: of the intervals.

    Raises:
        DataError: if a file cannot be read, files differ in their number of lines, a reference
            is none of the labels, or a metric cannot be measured.
        MissingExtraError: if a segmenter or the language identifier is needed and not installed.
    """
    for name in metrics:
        if name not in METRICS:
            raise DataError(
                f"--metric {name}: unknown{did_you_mean(name, METRICS)} "
                f"(known: {', '.join(METRICS)})"
            )
    if not 0 < confidence < 1:
        raise DataError(f"--confidence is {confidence:g}, expected a number between 0 and 1")
    given = {"references": references, "sources": sources, "groups": groups}
    lines = {name: _lines(path) for name, path in given.items() if path is not None}
    answers = _lines(predictions)
    for name, items in lines.items():
        if len(items) != len(answers):
            raise DataError(
                f"{predictions} has {len(answers)} lines, {given[name]} has {len(items)}; expected "
                f"as many {name} as predictions, one item a line"
            )
    right = lines["references"]
    texts = _Texts(
        predictions=answers,
        references=right,
        sources=lines.get("sources"),
        labels=_labels(labels, right, references) if {"f1", "accuracy"} & {*metrics} else (),
        language=language,
        tokenizer=tokenizer_for(language, segmented=segmented),
    )
    of_lines = lines.get("groups") or [str(number) for number in range(len(answers))]
    return [
        Scored(
            metric.name,
            metric.signature,
            bootstrap(metric, of_lines, seed=0, confidence=confidence),
        )
        for name in metrics
        for metric in METRICS[name](texts)
    ]


def _rouge(texts: _Texts) -> Sequence[Metric]:
    return rouge(texts.references, texts.predictions, texts.tokenizer)


def _chrf(texts: _Texts) -> Sequence[Metric]:
    return [chrf(texts.references, texts.predictions)]


def _exact_match(texts: _Texts) -> Sequence[Metric]:
    return [exact_match(texts.references, texts.predictions)]


def _length(texts: _Texts) -> Sequence[Metric]:
    return [length_ratio(texts.references, texts.predictions, texts.tokenizer)]


def _copying(texts: _Texts) -> Sequence[Metric]:
    if texts.sources is None:
        raise DataError("--metric copying: compares with the sources; give their file by --sources")
    return copying(texts.predictions, texts.sources, texts.tokenizer)


def _language(texts: _Texts) -> Sequence[Metric]:
    found = wrong_language(texts.predictions, texts.language)
    if found is None:
        raise DataError(
            f"--metric language: '{texts.language}' cannot be told from others; it needs texts "
            "of 20 letters and more, a language that lingua knows, and for most languages "
            "pip install 'langmerge[language-id]'"
        )
    return [found]


def _classified(texts: _Texts, wanted: Callable[[str], bool]) -> Sequence[Metric]:
    position = {label: index for index, label in enumerate(texts.labels)}
    found = classification_metrics(
        [position[reference.strip()] for reference in texts.references],
        [position.get(prediction.strip()) for prediction in texts.predictions],
        texts.labels,
    )
    return [metric for metric in found if wanted(metric.name)]


def _f1(texts: _Texts) -> Sequence[Metric]:
    return _classified(texts, lambda name: name != "accuracy")


def _accuracy(texts: _Texts) -> Sequence[Metric]:
    return _classified(texts, lambda name: name in ("accuracy", "unparseable"))


METRICS: Mapping[str, Callable[[_Texts], Sequence[Metric]]] = {
    "rouge": _rouge,
    "chrf": _chrf,
    "exact_match": _exact_match,
    "length": _length,
    "copying": _copying,
    "language": _language,
    "f1": _f1,
    "accuracy": _accuracy,
}
"""What `metrics` may name; each is a family of metrics that share their computation."""


def _lines(path: Path) -> list[str]:
    """Return a file's lines; only a line feed ends one, as Unicode's separators may be text."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({first_line(error)}); check the path") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    lines = text.split("\n")
    lines = lines[:-1] if lines[-1] == "" else lines
    if not lines:
        raise DataError(f"{path}: found no line, expected one item a line")
    return lines


def _labels(given: Sequence[str], references: Sequence[str], path: Path) -> list[str]:
    """Return the labels, each once, in order; every reference is one of them."""
    stripped = [text.strip() for text in (given or references)]
    labels = list(dict.fromkeys(stripped))
    for number, reference in enumerate(references, start=1):
        if reference.strip() not in labels:
            raise DataError(
                f"{path}:{number}: found {shown(reference.strip())}, expected one of the labels "
                f"{', '.join(labels)}{did_you_mean(reference.strip(), labels)}"
            )
    return labels
