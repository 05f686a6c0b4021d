"""Metrics of generated text against one reference: ROUGE, chrF, and what kind of text it is.

All hold for every script; docs/metrics.md says what each means in which language.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from itertools import pairwise

from langmerge.metrics.base import Metric, quotient_metric
from langmerge.metrics.language import wrong_language
from langmerge.metrics.tokenization import Tokenizer, tokenizer_for

ROUGE_TYPES = ("rougeL", "rouge1", "rouge2", "rougeLsum")

COPIED_RUN = 3
"""Tokens side by side that count as copied: one or two are shared by chance."""


def generation_metrics(
    references: Sequence[str],
    predictions: Sequence[str],
    sources: Sequence[str] | None,
    language: str,
    *,
    truncated: Sequence[bool] | None = None,
    segmented: bool = False,
) -> tuple[Metric, ...]:
    """Return ROUGE-L first, then ROUGE-1, -2 and -Lsum, chrF, and descriptive measures.

    What cannot be measured is left out: copying without sources, the language without a means to
    identify it (`langmerge.metrics.language`), truncation where it is not known.

    Args:
        references: the reference text of every row.
        predictions: the generated text of every row; may be empty.
        sources: the text every prediction was made from, for measures of copying.
        language: a code such as `ja`, `zh-Hans` or `pt_BR`; it decides the tokenizer.
        truncated: whether each prediction was cut at the limit of its length.
        segmented: take words of a segmenter for tokens in Japanese, Chinese and Thai.

    Returns:
        Metrics on a scale of 0 to 100, except `length_ratio`, where 1 is the references' length.

    Raises:
        ValueError: if there are not as many references as predictions and sources.
        MissingExtraError: if the segmenter asked for is not installed.
    """
    n_sources = len(predictions) if sources is None else len(sources)
    if not len(references) == len(predictions) == n_sources:
        raise ValueError(
            f"{len(references)} references, {len(predictions)} predictions, {n_sources} sources"
        )
    tokenizer = tokenizer_for(language, segmented=segmented)
    measured = [
        *rouge(references, predictions, tokenizer),
        chrf(references, predictions),
        exact_match(references, predictions),
        length_ratio(references, predictions, tokenizer),
    ]
    if sources is not None:
        measured += copying(predictions, sources, tokenizer)
    measured.append(_share("empty_share", [not text.strip() for text in predictions]))
    if truncated is not None:
        measured.append(_share("truncated_share", truncated))
    if (wrong := wrong_language(predictions, language)) is not None:
        measured.append(wrong)
    return tuple(measured)


def rouge(
    references: Sequence[str], predictions: Sequence[str], tokenizer: Tokenizer
) -> list[Metric]:
    """Return the mean F-measure of every ROUGE type (Lin 2004)."""
    import rouge_score_rs

    settings = {
        "score": "f",
        "tok": tokenizer.unit,
        "case": "fold",
        "norm": "nfkc",
        "average": "rows",
        "rouge-score-rs": rouge_score_rs.__version__,
    }
    scorer = rouge_score_rs.RougeScorer(list(ROUGE_TYPES), tokenizer=tokenizer.native)
    scores = scorer.score_batch(
        [tokenizer.prepare(text) for text in references],
        [tokenizer.prepare(text) for text in predictions],
    )
    return [
        quotient_metric(kind, settings, [100 * row[kind].fmeasure for row in scores])
        for kind in ROUGE_TYPES
    ]


def chrf(references: Sequence[str], predictions: Sequence[str]) -> Metric:
    """Return the mean of sentence-level chrF2 over rows (Popović 2015); corpus chrF differs."""
    import sacrebleu
    from sacrebleu.metrics import CHRF

    metric = CHRF()
    scores = [
        metric.sentence_score(_nfc(prediction), [_nfc(reference)]).score
        for reference, prediction in zip(references, predictions, strict=True)
    ]
    settings = {
        "nrefs": 1,
        "case": "mixed",
        "eff": "yes",
        "nc": metric.char_order,
        "nw": metric.word_order,
        "space": "no",
        "norm": "nfc",
        "average": "rows",
        "sacrebleu": sacrebleu.__version__,
    }
    return quotient_metric("chrf", settings, scores)


def exact_match(references: Sequence[str], predictions: Sequence[str]) -> Metric:
    """Return the share of predictions equal to the reference, but for outer white space."""
    matches = [
        100.0 * (_nfc(prediction).strip() == _nfc(reference).strip())
        for reference, prediction in zip(references, predictions, strict=True)
    ]
    return quotient_metric("exact_match", {"case": "mixed", "norm": "nfc"}, matches)


def length_ratio(
    references: Sequence[str], predictions: Sequence[str], tokenizer: Tokenizer
) -> Metric:
    """Return tokens of all predictions / tokens of all references."""
    lengths = [len(tokenizer.tokens(text)) for text in predictions]
    reference_lengths = [len(tokenizer.tokens(text)) for text in references]
    return quotient_metric("length_ratio", {"tok": tokenizer.unit}, lengths, reference_lengths)


def copying(
    predictions: Sequence[str], sources: Sequence[str], tokenizer: Tokenizer
) -> list[Metric]:
    """Return `novel_bigrams`, `copy_rate` and `verbatim_share`, all counted in tokens."""
    novel, bigrams, copied, lengths, verbatim = [], [], [], [], []
    for prediction, source in zip(predictions, sources, strict=True):
        tokens, source_tokens = tokenizer.tokens(prediction), tokenizer.tokens(source)
        pairs, source_pairs = list(pairwise(tokens)), set(pairwise(source_tokens))
        bigrams.append(len(pairs))
        novel.append(100 * sum(pair not in source_pairs for pair in pairs))
        lengths.append(len(tokens))
        copied.append(100 * _copied(tokens, source_tokens))
        verbatim.append(_contains(source_tokens, tokens))

    settings = {"tok": tokenizer.unit}
    return [
        quotient_metric("novel_bigrams", settings, novel, bigrams),
        quotient_metric("copy_rate", {**settings, "run": COPIED_RUN}, copied, lengths),
        _share("verbatim_share", verbatim, settings),
    ]


def _share(
    name: str, holds: Sequence[bool], settings: Mapping[str, object] | None = None
) -> Metric:
    """Return the share of rows of which something holds."""
    return quotient_metric(name, settings or {}, [100.0 * each for each in holds])


def _copied(tokens: Sequence[str], source: Sequence[str]) -> int:
    """Return how many tokens stand in a run of `COPIED_RUN` that the source has too."""
    runs = {tuple(source[i : i + COPIED_RUN]) for i in range(len(source) - COPIED_RUN + 1)}
    covered = set[int]()
    for start in range(len(tokens) - COPIED_RUN + 1):
        if tuple(tokens[start : start + COPIED_RUN]) in runs:
            covered.update(range(start, start + COPIED_RUN))
    return len(covered)


def _contains(source: Sequence[str], tokens: Sequence[str]) -> bool:
    """Return whether `tokens` stand in `source`, side by side; no tokens never do."""
    return bool(tokens) and f" {' '.join(tokens)} " in f" {' '.join(source)} "


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)
