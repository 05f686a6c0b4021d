"""Metrics of generated text against one reference: ROUGE, chrF, and what kind of text it is.

All hold for every script; docs/metrics.md says what each means in which language.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import pairwise

from langmerge.metrics.base import Metric, quotient_metric
from langmerge.metrics.tokenization import Tokenizer, tokenizer_for

ROUGE_TYPES = ("rougeL", "rouge1", "rouge2", "rougeLsum")


def generation_metrics(
    references: Sequence[str],
    predictions: Sequence[str],
    sources: Sequence[str],
    language: str,
) -> tuple[Metric, ...]:
    """Return ROUGE-L first, then ROUGE-1, -2 and -Lsum, chrF, and descriptive measures.

    Args:
        references: the reference text of every row.
        predictions: the generated text of every row; may be empty.
        sources: the text every prediction was made from, for measures of copying.
        language: a code such as `ja`, `zh-Hans` or `pt_BR`; it decides the tokenizer.

    Returns:
        Metrics on a scale of 0 to 100, except `length_ratio`, where 1 is the references' length.

    Raises:
        ValueError: if there are not as many references as predictions and sources.
    """
    if not len(references) == len(predictions) == len(sources):
        raise ValueError(
            f"{len(references)} references, {len(predictions)} predictions, {len(sources)} sources"
        )
    tokenizer = tokenizer_for(language)
    return (
        *_rouge(references, predictions, tokenizer),
        _chrf(references, predictions),
        _exact_match(references, predictions),
        *_token_measures(references, predictions, sources, tokenizer),
        _empty_share(predictions),
    )


def _rouge(
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
        quotient_metric(rouge, settings, [100 * row[rouge].fmeasure for row in scores])
        for rouge in ROUGE_TYPES
    ]


def _chrf(references: Sequence[str], predictions: Sequence[str]) -> Metric:
    """Return the mean of sentence-level chrF2 over rows (Popović 2015); corpus chrF differs."""
    import sacrebleu
    from sacrebleu.metrics import CHRF

    chrf = CHRF()
    scores = [
        chrf.sentence_score(_nfc(prediction), [_nfc(reference)]).score
        for reference, prediction in zip(references, predictions, strict=True)
    ]
    settings = {
        "nrefs": 1,
        "case": "mixed",
        "eff": "yes",
        "nc": chrf.char_order,
        "nw": chrf.word_order,
        "space": "no",
        "norm": "nfc",
        "average": "rows",
        "sacrebleu": sacrebleu.__version__,
    }
    return quotient_metric("chrf", settings, scores)


def _exact_match(references: Sequence[str], predictions: Sequence[str]) -> Metric:
    """Return the share of predictions equal to the reference, but for outer white space."""
    matches = [
        100.0 * (_nfc(prediction).strip() == _nfc(reference).strip())
        for reference, prediction in zip(references, predictions, strict=True)
    ]
    return quotient_metric("exact_match", {"case": "mixed", "norm": "nfc"}, matches)


def _token_measures(
    references: Sequence[str],
    predictions: Sequence[str],
    sources: Sequence[str],
    tokenizer: Tokenizer,
) -> list[Metric]:
    """Return `length_ratio`, `novel_bigrams` and `verbatim_share`, all counted in tokens."""
    lengths, reference_lengths, novel, bigrams, verbatim = [], [], [], [], []
    for reference, prediction, source in zip(references, predictions, sources, strict=True):
        tokens, source_tokens = tokenizer.tokens(prediction), tokenizer.tokens(source)
        pairs, source_pairs = list(pairwise(tokens)), set(pairwise(source_tokens))
        lengths.append(len(tokens))
        reference_lengths.append(len(tokenizer.tokens(reference)))
        bigrams.append(len(pairs))
        novel.append(100 * sum(pair not in source_pairs for pair in pairs))
        verbatim.append(100 * _contains(source_tokens, tokens))

    settings = {"tok": tokenizer.unit}
    return [
        quotient_metric("length_ratio", settings, lengths, reference_lengths),
        quotient_metric("novel_bigrams", settings, novel, bigrams),
        quotient_metric("verbatim_share", settings, verbatim),
    ]


def _empty_share(predictions: Sequence[str]) -> Metric:
    """Return the share of predictions that are empty or white space."""
    return quotient_metric("empty_share", {}, [100.0 * (not text.strip()) for text in predictions])


def _contains(source: Sequence[str], tokens: Sequence[str]) -> bool:
    """Return whether `tokens` stand in `source`, side by side; no tokens never do."""
    return bool(tokens) and f" {' '.join(tokens)} " in f" {' '.join(source)} "


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)
