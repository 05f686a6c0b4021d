"""Search by trials: a tree-structured Parzen estimator over everything a recipe can say.

Beside method, density, lambda and space it moves the weight of every language and the factor of
every third of the layers. The same seed proposes the same trials as long as the answers are the
same, and answers are kept: so a search that was killed goes on by being started again.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from langmerge.choose.candidates import Candidate
from langmerge.choose.contest import Contest, Contestant
from langmerge.errors import MissingExtraError
from langmerge.merging.registry import MethodInfo, Parameter
from langmerge.merging.schema import method_info, methods

BANDS = 3
"""Bands of layers that have a factor of their own."""

_WEIGHTS = (0.25, 4.0)
_SCALES = (0.5, 1.5)
_LAMBDAS = (0.2, 3.0)
_LEAST_DENSITY = 0.02


def search(
    contest: Contest,
    trials: int,
    *,
    start: Iterable[Candidate] = (),
    only: Sequence[str] = (),
    seed: int = 0,
    on_trial: Callable[[Contestant], None] | None = None,
) -> None:
    """Enter `trials` candidates into a contest, each proposed from what became of those before.

    Args:
        contest: measures them.
        trials: how many.
        start: candidates tried first; they count.
        only: names of methods; none means all.
        seed: of the proposals.
        on_trial: is told of every trial.

    Raises:
        MissingExtraError: if Optuna is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise MissingExtraError("optuna", "search", "langmerge sweep --trials") from None

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    infos = [method_info(name) for name in only] or list(methods())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # `group`: what is proposed depends on the method, so the parameters form a tree.
        sampler = optuna.samplers.TPESampler(
            seed=seed, multivariate=True, group=True, n_startup_trials=min(20, max(5, trials // 5))
        )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    names = {info.name for info in infos}
    for candidate in list(start)[:trials]:
        info = method_info(candidate.settings["method"])
        if info.name in names:
            study.enqueue_trial(_parameters(candidate, info, contest.languages))
    for _ in range(trials):
        trial = study.ask()
        candidate = propose(trial, infos, contest.languages)
        found = contest.enter(candidate)
        if found.problem:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        elif found.is_measured:
            study.tell(trial, found.value)
        else:
            trial.report(found.value, step=max(1, round(100 * found.share)))
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        if on_trial is not None:
            on_trial(found)


def propose(trial: Any, infos: Sequence[MethodInfo], languages: Sequence[str]) -> Candidate:
    """Return the candidate that a trial's suggestions make; parameters are named by method."""
    by_name = {info.name: info for info in infos}
    info = by_name[trial.suggest_categorical("method", sorted(by_name))]
    settings: dict[str, Any] = {"method": info.name}
    for parameter in info.parameters:
        value = _suggested(trial, info, parameter)
        if value is not None:
            settings[parameter.key] = value
    if len(info.spaces) > 1:
        settings["space"] = trial.suggest_categorical(f"{info.name}.space", list(info.spaces))
    if trial.suggest_categorical("weighted", [False, True]):
        settings["weights"] = {
            code: round(trial.suggest_float(f"weight.{code}", *_WEIGHTS, log=True), 3)
            for code in languages
        }
    if trial.suggest_categorical("banded", [False, True]):
        settings["layer_scales"] = [
            round(trial.suggest_float(f"band.{band}", *_SCALES), 3) for band in range(BANDS)
        ]
    return Candidate(settings)


def _suggested(trial: Any, info: MethodInfo, parameter: Parameter) -> Any:
    """Return a trial's value of a parameter; None leaves the default."""
    name, spec = f"{info.name}.{parameter.key}", parameter.spec
    if parameter.key == "lambda":
        return round(trial.suggest_float(name, *_LAMBDAS, log=True), 4)
    if parameter.kind is bool:
        return trial.suggest_categorical(name, [True, False])
    if spec.choices:
        return trial.suggest_categorical(name, list(spec.choices))
    if parameter.kind is float and spec.above is not None and spec.most is not None:
        least = spec.above + _LEAST_DENSITY * (spec.most - spec.above)
        return round(trial.suggest_float(name, least, spec.most), 4)
    return None  # Without bounds there is no telling where to look.


def _parameters(candidate: Candidate, info: MethodInfo, languages: Sequence[str]) -> dict[str, Any]:
    """Return a candidate as the suggestions that would make it, as far as there are any."""
    settings = candidate.settings
    given: dict[str, Any] = {"method": info.name}
    for parameter in info.parameters:
        value = settings.get(parameter.key, parameter.default)
        if isinstance(value, float | int | bool | str) and not (
            isinstance(value, float) and not math.isfinite(value)
        ):
            given[f"{info.name}.{parameter.key}"] = value
    given[f"{info.name}.space"] = settings.get("space", info.space)
    weights = settings.get("weights") or {}
    given["weighted"], given["banded"] = bool(weights), bool(settings.get("layer_scales"))
    given |= {f"weight.{code}": weights.get(code, 1.0) for code in languages if weights}
    for band, scale in enumerate(settings.get("layer_scales") or ()):
        given[f"band.{band}"] = scale
    return given
