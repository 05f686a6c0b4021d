"""`langmerge.yaml`: the whole project as one validated, immutable value."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from langmerge.data.config import DataConfig, SplitName
from langmerge.errors import MergeError, ProjectError, did_you_mean
from langmerge.merging.auto import AUTO, check_auto
from langmerge.merging.calibrated import CALIBRATED, ROWS, check_calibrated
from langmerge.merging.schema import Recipe, check_recipe
from langmerge.remote import check_url
from langmerge.settings import Seeds, Settings, explain, load_yaml
from langmerge.tasks import AnyTask, Task
from langmerge.tasks.base import DEFAULT
from langmerge.tracking.config import TrackingSettings
from langmerge.train.config import AdapterSettings, LoraSettings, TrainConfig, TrainSettings

PROJECT_FILE = "langmerge.yaml"
STORE_FOLDER = ".langmerge"
COMBINED_NAME = "combined"
CONTINUED_NAME = "combined-continued"
ANCESTOR_NAME = "ancestor"

Comparison = Literal[
    "base", "individual", "routed", "best-single", "combined", "combined-continued", "ancestor"
]


def _plain_name(name: str) -> str:
    # Names become parts of job ids and folder names; nothing in them may lead out of a folder.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.\-]*", name):
        raise ValueError(f"'{name}' is not a name; use letters, digits, '-', '_' and '.'")
    return name


Name = Annotated[str, AfterValidator(_plain_name)]


class HubBase(Settings):
    """A base model on the Hugging Face Hub, pinned to a commit."""

    model: str
    """Its id, such as `google/gemma-3-270m`."""
    revision: str
    """The 40 hex digits of a commit."""

    @field_validator("revision")
    @classmethod
    def _is_commit(cls, revision: str) -> str:
        if not re.fullmatch(r"[0-9a-f]{40}", revision):
            raise ValueError(
                f"'{revision}' can move; give the 40 hex digits of a commit, "
                "as the model's 'Files and versions' page on the Hub shows them"
            )
        return revision


class LanguageSettings(Settings):
    """What one language does differently: its data per task, and overrides of other sections."""

    data: Mapping[str, DataConfig] = {}
    """By task: where this language's rows are, in place of the task's `data`."""
    adapter: Mapping[str, Any] = {}
    """Keys of `adapter` that are different for this language."""
    train: Mapping[str, Any] = {}
    """Keys of `train` that are different for this language."""


class RecipeSettings(BaseModel):
    """A merge recipe: a method, what concerns single languages, and the method's own parameters."""

    model_config = ConfigDict(extra="allow", frozen=True)  # The method's table knows the rest.

    method: str
    """A method's name or alias; the method's own parameters stand beside it (`docs/methods`).
    `auto` has the recipe chosen on dev."""
    weights: Literal["size", "gain", "norm", "calibrated"] | Mapping[str, float] | None = None
    """By language, 1 where not given; or by a rule: by training rows, by what an adapter gains over
    the base on dev, by the inverse norm of the task vectors, or learned on dev (calibrated)."""
    calibration_rows: int | None = Field(
        default=None, ge=1, description="dev rows of a language that weights are learned on; 100"
    )
    calibration_bands: int | None = Field(
        default=None, ge=1, description="bands of layers, each with a learned factor; 1"
    )
    protect: Mapping[str, float] | None = None
    """By language: the share of its largest entries that keep sign and size; 0 where not given."""
    seed: int | None = Field(default=None, description="of random masks; the run's seed if absent")

    @model_validator(mode="after")
    def _fits_the_method(self) -> RecipeSettings:
        try:
            found = self.checked()
            if self.is_calibrated:
                check_calibrated(found.method, self.model_extra or {})
        except MergeError as error:
            raise ValueError(str(error)) from None
        for key in ("calibration_rows", "calibration_bands"):
            if getattr(self, key) is not None and not self.is_calibrated:
                raise ValueError(
                    f"{found.method}: {key} says how calibrated weights are learned; "
                    "add weights: calibrated, or leave it out"
                )
        return self

    @property
    def is_calibrated(self) -> bool:
        """Whether the weights are learned on dev rows."""
        return self.weights == CALIBRATED

    @property
    def rows_to_calibrate(self) -> int:
        """How many dev rows of each language weights are learned on."""
        return self.calibration_rows or ROWS

    @property
    def bands_to_calibrate(self) -> int:
        """How many bands of layers have a learned factor."""
        return self.calibration_bands or 1

    def checked(self, languages: Sequence[str] = (), seed: int = 0) -> Recipe:
        """Return the complete recipe for adapters in the order of `languages`.

        Without them the languages that the recipe names stand for all, and only what the others
        cannot change is checked.

        Raises:
            MergeError: if the method, a parameter or a weight is wrong.
        """
        if self.method == AUTO:
            own = {**self.model_dump(exclude={"method"}), "seed": self._seed(seed)}
            return check_auto(own)
        weights = None
        if isinstance(self.weights, Mapping):
            weights = [self.weights.get(language, 1.0) for language in languages or self.weights]
        protect = None
        if self.protect is not None:
            protect = [self.protect.get(language, 0.0) for language in languages or self.protect]
        parameters = {**(self.model_extra or {}), "weights": weights, "protect": protect}
        return check_recipe(
            self.method,
            {**parameters, "seed": self._seed(seed)},
            len(languages) or None,
        )

    def _seed(self, of_run: int) -> int:
        return of_run if self.seed is None else self.seed


class EvaluateSettings(Settings):
    """How models are scored and how sure the scores are."""

    matrix: bool = Field(default=False, description="also every adapter on every language's test")
    resamples: int = Field(default=1000, ge=100, description="bootstrap resamples")
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Level of all intervals and of the gate's tests."""
    batch_tokens: int = Field(default=2048, ge=1, description="tokens in memory at once")


class UpdateSettings(Settings):
    """How a language is trained again when its rows change.

    `scratch` forgets its last adapter. `continue` starts from it, on the new rows and a share of
    those it knows; that is cheaper, depends on the path taken, and unlearns no removed row.
    """

    mode: Literal["scratch", "continue"] = "scratch"
    """Train a changed language anew, or continue its last adapter."""
    replay: float = Field(default=1.0, ge=0, le=1, description="share of known rows trained again")
    train: Mapping[str, Any] = Field(default={}, description="training settings of continuing")


class CombinedSettings(Settings):
    """What the combined model does differently, so that it is as good a baseline as it can be."""

    train: Mapping[str, Any] = {}
    """Training settings of its own; `langmerge sweep --combined` finds them on dev."""


class CostSettings(Settings):
    """What a device costs, for the bill."""

    price_per_hour: float | None = Field(default=None, ge=0, description="of one device")


class ReleaseSettings(Settings):
    """What is released, and when the gate refuses a model that is worse than the released one."""

    max_drop: float = Field(default=1.0, ge=0, description="points a language may lose")
    on_undecided: Literal["warn", "refuse"] = Field(
        default="warn", description="where a larger drop can be neither shown nor ruled out"
    )
    recipe: str | None = Field(default=None, description="of the released model; the first")


class Project(Settings):
    """A validated project file; see `langmerge init` for a commented example."""

    version: Literal[1] = 1
    """Version of this format."""
    base: str | HubBase
    """The model that all adapters share: a folder, a GGUF file, or a Hub model at a commit."""
    languages: Mapping[Name, LanguageSettings] = Field(min_length=1)
    """A list of names, or a mapping where a language does something differently."""
    tasks: Mapping[Name, AnyTask] = Field(min_length=1)
    """By name; each has adapters and merges of its own."""
    adapter: AdapterSettings = AdapterSettings()
    """Shape and scale of the adapters, and what they start from."""
    train: TrainSettings = TrainSettings()
    """How adapters are trained."""
    update: UpdateSettings = UpdateSettings()
    """How a language is trained again."""
    combined: CombinedSettings = CombinedSettings()
    """What the combined model does differently."""
    merge: Mapping[Name, RecipeSettings] = Field(
        default_factory=lambda: {"ties": RecipeSettings(method="ties")}, min_length=1
    )
    """Recipes by name; a method's name, or a list of them, is short for recipes of that name."""
    compare: tuple[Comparison, ...] = ("base", "individual", "best-single", "combined")
    """What the merged models are measured against."""
    evaluate: EvaluateSettings = EvaluateSettings()
    """How models are scored."""
    release: ReleaseSettings = ReleaseSettings()
    """What is released, and the gate."""
    cost: CostSettings = CostSettings()
    """Prices for the bill."""
    tracking: TrackingSettings | None = None
    """Where runs and releases are recorded too."""
    seeds: Seeds = (0,)
    """Every training is run once with each; the first one's model is released."""
    store: Annotated[str, AfterValidator(check_url)] | None = None
    """URL of a store that machines share; `.langmerge` beside the project file if absent."""

    _path: Path = PrivateAttr(default=Path(PROJECT_FILE))

    @property
    def path(self) -> Path:
        """The project file."""
        return self._path

    @property
    def folder(self) -> Path:
        """The folder of the project file; relative paths in it start here."""
        return self._path.parent

    @cached_property
    def store_folder(self) -> Path:
        """Where results are kept; with a store at a URL, this machine's copies of them."""
        return self.folder / STORE_FOLDER

    @field_validator("languages", mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            value = {code: settings or {} for code, settings in value.items()}
        elif isinstance(value, list):
            if odd := [code for code in value if isinstance(code, list | dict | set)]:
                raise ValueError(f"found {odd[0]!r:.40} in the list, expected a language's name")
            if repeated := sorted({str(code) for code in value if value.count(code) > 1}):
                raise ValueError(f"'{repeated[0]}' is listed twice; remove one")
            value = {code: {} for code in value}
        if isinstance(value, Mapping) and False in value:
            raise ValueError("YAML reads no as false; write Norwegian as 'no', in quotes")
        return value

    @field_validator("merge", mode="before")
    @classmethod
    def _from_short_form(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = {value: {"method": value}}
        elif isinstance(value, list):
            if wrong := [name for name in value if not isinstance(name, str)]:
                raise ValueError(
                    f"found {wrong[0]!r:.80} in the list, expected names of methods; write recipes "
                    "with parameters as NAME: {method: ...}"
                )
            value = {name: {"method": name} for name in value}
        elif isinstance(value, Mapping) and isinstance(value.get("method"), str):
            value = {value["method"]: value}
        return value

    @model_validator(mode="after")
    def _names_agree(self) -> Project:
        for name in (COMBINED_NAME, CONTINUED_NAME, ANCESTOR_NAME):
            if name in self.languages:
                raise ValueError(f"languages: '{name}' is the name of a model; choose another")
        if CONTINUED_NAME in self.compare and COMBINED_NAME not in self.compare:
            raise ValueError(f"compare: {CONTINUED_NAME} continues {COMBINED_NAME}; add that too")
        _check_override("update.train", TrainConfig, self.update.train)
        _check_override("combined.train", TrainConfig, self.combined.train)
        _check_override("train.ancestor.train", TrainConfig, self.train.ancestor.train)
        for language, settings in self.languages.items():
            _check_known(settings.data, self.tasks, f"languages.{language}.data", "task")
            self._check_overrides(language)
            for name in self.tasks:
                self._has_dev_for_choosing(name, language)
        for name, task in self.tasks.items():
            if (first := self.seeds_for(name)[0]) != self.seeds[0]:
                raise ValueError(
                    f"tasks.{name}.seeds: begins with {first}, the project's seeds with "
                    f"{self.seeds[0]}, and one seed of all tasks is released; begin both alike"
                )
            if isinstance(task.prompt, Mapping):
                _check_known(
                    task.prompt, (*self.languages, DEFAULT), f"tasks.{name}.prompt", "language"
                )
                if missing := [code for code in self.languages if not _has_prompt(task, code)]:
                    raise ValueError(
                        f"tasks.{name}.prompt: no template for '{missing[0]}'; add it or 'default'"
                    )
            _check_known(task.shots, (*self.languages, DEFAULT), f"tasks.{name}.shots", "language")
        for name, recipe in self.merge.items():
            for key, given in (("weights", recipe.weights), ("protect", recipe.protect)):
                known = given if isinstance(given, Mapping) else {}
                _check_known(known, self.languages, f"merge.{name}.{key}", "language")
            _check_merge(f"merge.{name}", recipe, tuple(self.languages))
            self._has_dev_for_weights(name)
        _check_known([self.released_recipe], self.merge, "release.recipe", "recipe")
        return self

    @model_validator(mode="after")
    def _ancestor_is_there(self) -> Project:
        if ANCESTOR_NAME in self.compare and not self.has_ancestor:
            raise ValueError(
                "compare: ancestor is what languages start from with adapter.init: ancestor; "
                "set that, or take it out"
            )
        return self

    def _check_overrides(self, language: str) -> None:
        where = f"languages.{language}"
        for section, key in (("adapter", "init"), ("train", "ancestor")):
            if key in getattr(self.languages[language], section):
                raise ValueError(
                    f"{where}.{section}.{key}: it says what all languages have in common; "
                    f"set {section}.{key} instead"
                )
        if self.has_ancestor and (own := sorted(_SHAPE & self.languages[language].adapter.keys())):
            raise ValueError(
                f"{where}.adapter.{own[0]}: with adapter.init: ancestor all languages start from "
                f"one adapter and have its shape; set adapter.{own[0]} instead"
            )
        _check_override(f"{where}.adapter", LoraSettings, self.languages[language].adapter)
        _check_override(f"{where}.train", TrainConfig, self.languages[language].train)

    def _has_dev_for_choosing(self, task: str, language: str) -> None:
        if "best-single" in self.compare and not self.has_dev(task, language):
            raise ValueError(
                f"tasks.{task}.data: '{language}' has no dev: split, and compare: best-single "
                "chooses on dev; add dev:, or take best-single out of compare:"
            )

    def _has_dev_for_weights(self, recipe: str) -> None:
        for task in self.tasks:
            without = [code for code in self.languages if not self.has_dev(task, code)]
            if self.merge[recipe].weights == "gain" and without:
                raise ValueError(
                    f"merge.{recipe}.weights: gain is measured on dev, and tasks.{task}.data has "
                    f"none of '{without[0]}'; add dev:, or take size or norm"
                )
            if self.merge[recipe].is_calibrated and len(without) == len(self.languages):
                raise ValueError(
                    f"merge.{recipe}.weights: calibrated weights are learned on dev, and "
                    f"tasks.{task}.data has none of {', '.join(without)}; add dev: of one language "
                    "at least, or take size or norm"
                )

    def adapter_for(self, language: str | None) -> LoraSettings:
        """Return the LoRA settings of a language; of the combined model for None."""
        overrides = self.languages[language].adapter if language else {}
        if not overrides:
            return self._shape
        return LoraSettings(**{**self._shape.model_dump(exclude_unset=True), **overrides})

    def train_for(self, language: str | None) -> TrainConfig:
        """Return the training settings of a language; of the combined model for None."""
        overrides = self.languages[language].train if language else self.combined.train
        if not overrides:
            return self._training
        return TrainConfig(**{**self._training.model_dump(exclude_unset=True), **overrides})

    def ancestor_train(self) -> TrainConfig:
        """Return the training settings of the adapter that all languages start from.

        It takes all its steps: a short run has nothing to stop early for.
        """
        own = self._training.model_dump(exclude_unset=True)
        whole = {"eval_steps": 0, "early_stopping_patience": 0}
        return TrainConfig(**{**own, **self.train.ancestor.train, **whole})

    @cached_property
    def _shape(self) -> LoraSettings:
        """The shape of adapters, without what they start from."""
        return LoraSettings(**self.adapter.model_dump(exclude_unset=True, exclude={"init"}))

    @cached_property
    def _training(self) -> TrainConfig:
        """The training settings, without those of the ancestor."""
        return TrainConfig(**self.train.model_dump(exclude_unset=True, exclude={"ancestor"}))

    @property
    def has_ancestor(self) -> bool:
        """Whether all languages start from one trained adapter."""
        return self.adapter.init == "ancestor"

    def continuing_train_for(self, language: str | None) -> TrainConfig:
        """Return the training settings with which a language's last adapter is continued."""
        own = self.train_for(language).model_dump(exclude_unset=True)
        return TrainConfig(**{**own, **self.update.train})

    def data_for(self, task: str, language: str) -> DataConfig:
        """Return where a task's data of a language is."""
        return self.languages[language].data.get(task, self.tasks[task].data)

    def seeds_for(self, task: str) -> tuple[int, ...]:
        """Return the seeds of a task's runs; the first is the one that is released and served."""
        return self.tasks[task].seeds or self.seeds

    def has_dev(self, task: str, language: str) -> bool:
        """Whether a task's data of a language has rows to choose and compare models by."""
        return self.data_for(task, language).has("dev")

    def chooses_on_dev(self, task: str, recipe: str) -> bool:
        """Whether a recipe is `auto` and every language has dev rows to choose by."""
        is_auto = self.merge[recipe].method == AUTO
        return is_auto and all(self.has_dev(task, language) for language in self.languages)

    @property
    def weighs_by_gain(self) -> bool:
        """Whether some recipe's weights are what the adapters gain on dev."""
        return any(recipe.weights == "gain" for recipe in self.merge.values())

    def gate_split(self, task: str, language: str) -> SplitName | None:
        """The split on which releases are compared: gate, else dev; test is for reporting."""
        data = self.data_for(task, language)
        gates: tuple[SplitName, ...] = ("gate", "dev")
        return next((split for split in gates if data.has(split)), None)

    @property
    def released_recipe(self) -> str:
        """The recipe of the merged model that is released."""
        return self.release.recipe or next(iter(self.merge))


_OF_THE_BASE = ("dtype", "load_in_4bit")
"""Training settings that say how the base is loaded."""
_SHAPE = LoraSettings.model_fields.keys() - {"lora_dropout"}
"""What of an adapter's settings those that merge with an ancestor have in common with it."""


def load_project(path: Path) -> Project:
    """Read and validate a project file.

    Raises:
        ProjectError: one line per problem, with file, line, key and the nearest right key.
    """
    content, lines = load_yaml(path)
    if not isinstance(content, dict):
        raise ProjectError(
            f"{path}: expected keys such as base:, languages: and tasks:, "
            f"found {'nothing' if content is None else type(content).__name__}; "
            "`langmerge init DIR` writes a commented example"
        )
    try:
        project = Project.model_validate(content)
    except ValidationError as error:
        raise ProjectError(explain(error, path, lines)) from None
    project._path = path.resolve()
    return project


def _check_known(given: Any, known: Any, where: str, what: str) -> None:
    for name in given:
        if name not in known:
            raise ValueError(
                f"{where}: unknown {what} '{name}'{did_you_mean(name, known)}"
                f" (known: {', '.join(known)})"
            )


def _check_merge(where: str, recipe: RecipeSettings, languages: Sequence[str]) -> None:
    """Raise if a recipe does not fit the languages: weights of all of them are known only here."""
    try:
        recipe.checked(languages)
    except MergeError as error:
        raise ValueError(f"{where}: {error}") from None


def _check_override(where: str, section: type[Settings], overrides: Mapping[str, Any]) -> None:
    """Raise if overrides of a section are wrong, by the section's own rules."""
    if section is TrainConfig and (own := [key for key in _OF_THE_BASE if key in overrides]):
        raise ValueError(
            f"{where}.{own[0]}: all languages share one base; set train.{own[0]} instead"
        )
    try:
        section(**overrides)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, (where, *first["loc"])))
        raise ValueError(f"{key}: {first['msg'].removeprefix('Value error, ')}") from None


def _has_prompt(task: Task, language: str) -> bool:
    return not isinstance(task.prompt, Mapping) or language in task.prompt or DEFAULT in task.prompt
