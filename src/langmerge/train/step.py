"""One step of several adapters: their rows through the base together, their gradients apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass

import torch
from torch import Tensor

from langmerge.errors import LangmergeError
from langmerge.memory import is_out_of_memory, release_memory
from langmerge.model import BaseModel
from langmerge.quiet import quiet_transformers
from langmerge.train.acting import Acting, Layout, attached
from langmerge.train.batches import Batch, Part, collate, supervised
from langmerge.train.compiling import CompileClock, compiled_layers
from langmerge.train.loss import backward_through_head, summed_loss
from langmerge.train.packing import Kernel, Packing, packed, packed_attention
from langmerge.train.run import AdapterRun
from langmerge.train.team import Team


@dataclass(frozen=True)
class Gradients:
    """What a step made of one adapter's rows; the gradients themselves are at its parameters.

    Attributes:
        loss: the mean over its supervised tokens, in nats.
        norm: of the gradient, before it was clipped.
        part: the tokens that went through the model.
    """

    loss: float
    norm: float
    part: Part


class Stepper:
    """Computes the gradients of adapters that are attached to a base.

    Out of memory, it puts half as many examples of each adapter through the model at once; then it
    parts the adapters; and at last it computes activations twice, where the settings leave it free
    to. None of this changes what a step is.

    Args:
        base: the base model.
        runs: the adapters.
        kernel: what packs rows; None pads them.
        team: the processes that share each step.

    Attributes:
        parted: into how many passes the adapters are divided because of memory.
    """

    def __init__(
        self, base: BaseModel, runs: Sequence[AdapterRun], kernel: Kernel | None, team: Team
    ) -> None:
        self._base, self._runs, self._kernel, self._team = base, list(runs), kernel, team
        self._active = ExitStack()
        self._acting: Acting
        self._saving = False
        self._clock: CompileClock | None = None
        self.parted = 1

    def __enter__(self) -> Stepper:
        self._acting = self._active.enter_context(
            attached(self._base, *(run.factors for run in self._runs))
        )
        self._active.enter_context(packed_attention(self._base, self._kernel))
        self._active.enter_context(_training(self._base))
        if any(run.config.gradient_checkpointing is True for run in self._runs):
            self._save_activations()
        if any(run.config.torch_compile for run in self._runs):
            try:
                self._clock = self._active.enter_context(compiled_layers(self._base))
            except BaseException:
                self._active.close()  # Nobody leaves what was never entered.
                raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._active.close()

    def compile_seconds(self) -> float:
        """Return how long it compiled since the last call."""
        return 0.0 if self._clock is None else self._clock.taken()

    def gradients(self, runs: Sequence[AdapterRun]) -> dict[AdapterRun, Gradients | LangmergeError]:
        """Compute the gradients of the next step of each of these adapters.

        An adapter of which one example alone is too much for memory comes back with an error.
        """
        found: dict[AdapterRun, Gradients | LangmergeError] = {}
        runs = list(runs)
        while runs:
            is_full = False
            try:
                sums = self._accumulated(runs)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                is_full = True
            # One process that runs out of memory is enough for all to hold less.
            if not self._team.any(is_full, self._base.device):
                return found | self._completed(runs, sums)
            for run in runs:
                run.clear_gradients()
            release_memory()
            if not self._hold_less(runs):
                # Alone in its pass, with one example at a time, and still too much.
                largest = max(runs, key=lambda run: run.longest_of_step())
                found[largest] = largest.too_large()
                runs.remove(largest)
        return found

    def dev_loss(self, run: AdapterRun) -> float:
        """Return the mean loss on an adapter's dev examples, in nats per supervised token."""
        examples = sorted(run.dev, key=lambda example: example.length)
        total = 0.0
        member = self._runs.index(run)
        self._base.model.eval()
        try:
            with torch.no_grad():
                size = run.progress.micro_batch_size
                for start in range(0, len(examples), size):
                    batch = collate(
                        examples[start : start + size], packed=self._kernel is not None
                    ).to(self._base.device)
                    layout = Layout((member,), (batch.parts[0].padded,))
                    with packed(self._packing(batch)), self._acting.during(layout):
                        total += summed_loss(self._base, self._states(batch), batch.targets)
        finally:
            self._base.model.train()
        return total / sum(map(supervised, examples))

    def _accumulated(self, runs: Sequence[AdapterRun]) -> Tensor:
        """Add up the gradients of this process's rows.

        Returns:
            `[4, adapters]`, fp64: of each the loss, and its real, padded and supervised tokens.
        """
        size = math.ceil(len(runs) / self.parted)
        with _random_state(self._base.device, runs[0].step_seed()):
            found = [
                self._accumulate(runs[start : start + size]) for start in range(0, len(runs), size)
            ]
        return torch.cat(found, dim=1)

    def _completed(
        self, runs: Sequence[AdapterRun], sums: Tensor
    ) -> dict[AdapterRun, Gradients | LangmergeError]:
        """Return what all processes' rows came to, after clipping."""
        sums = self._team.added(sums)
        for run in runs:
            self._team.add_gradients(run.parameters)
        norms = torch.stack([run.clip() for run in runs]).to(sums)
        # One wait for the device, whatever the number of adapters.
        values = torch.cat([sums, norms[None]]).T.tolist()
        return {
            run: Gradients(loss, norm, Part(*map(int, counts)))
            for run, (loss, *counts, norm) in zip(runs, values, strict=True)
        }

    def _accumulate(self, runs: Sequence[AdapterRun]) -> Tensor:
        """Do what `_accumulated` does for the adapters of one pass."""
        batches = [run.micro_batches() for run in runs]
        weights = [1 / sum(supervised(e) for batch in of for e in batch) for of in batches]
        losses = torch.zeros(len(runs), dtype=torch.float64, device=self._base.device)
        counts = torch.zeros(3, len(runs), dtype=torch.float64)
        for turn in range(max(map(len, batches))):
            rows = {
                at: self._team.part(of[turn]) for at, of in enumerate(batches) if turn < len(of)
            }
            present = [at for at, own in rows.items() if own]
            if not present:
                continue
            batch = collate(*(rows[at] for at in present), packed=self._kernel is not None)
            layout = self._layout([runs[at] for at in present], batch, turn)
            found = self._backward(batch, layout, [weights[at] for at in present])
            losses[present] += found.to(losses.device)
            for at, part in zip(present, batch.parts, strict=True):
                counts[:, at] += torch.tensor(astuple(part))
        return torch.cat([losses[None], counts.to(losses)])

    def _layout(self, runs: Sequence[AdapterRun], batch: Batch, turn: int) -> Layout:
        members = tuple(self._runs.index(run) for run in runs)
        counts = tuple(part.padded for part in batch.parts)
        if not any(run.drops for run in runs):
            return Layout(members, counts)
        real = None
        if batch.position_ids is None:
            width = batch.input_ids.shape[1]
            real = torch.cat(
                [torch.arange(n) + row * width for row, n in enumerate(batch.lengths)]
            ).to(self._base.device)
        return Layout(
            members,
            counts,
            tuple(run.step_seed(turn) ^ self._team.rank for run in runs),
            real,
            tuple(part.tokens for part in batch.parts),
        )

    def _backward(self, batch: Batch, layout: Layout, weights: Sequence[float]) -> Tensor:
        batch = batch.to(self._base.device)
        with packed(self._packing(batch)), self._acting.during(layout):
            return backward_through_head(
                self._base,
                self._states(batch),
                batch.targets,
                acting=self._acting,
                counts=[part.supervised for part in batch.parts],
                weights=weights,
            )

    def _packing(self, batch: Batch) -> Packing | None:
        if self._kernel is None:
            return None
        return Packing.of(batch.lengths, self._base.device, self._kernel)

    def _states(self, batch: Batch) -> Tensor:
        """Return the hidden states from which the targets are predicted, `[supervised, hidden]`."""
        hidden = self._base.hidden_states(batch.input_ids, position_ids=batch.position_ids)
        return hidden.flatten(0, 1)[batch.positions.to(hidden.device)]

    def _hold_less(self, runs: Sequence[AdapterRun]) -> bool:
        """Let the next passes hold less; return whether they can."""
        halved = [run.halve_micro_batch() for run in runs]
        if any(halved):
            return True
        if self.parted < len(runs):
            self.parted = min(2 * self.parted, len(runs))
            return True
        if not self._saving and any(run.config.gradient_checkpointing == "auto" for run in runs):
            self._save_activations()
            return True
        return False

    def _save_activations(self) -> None:
        self._active.enter_context(_activation_checkpointing(self._base))
        self._saving = True


@contextmanager
def _training(base: BaseModel) -> Iterator[None]:
    """Put the model in training mode inside the block, as dropout and checkpointing need it."""
    base.model.train()
    try:
        yield
    finally:
        base.model.eval()


@contextmanager
def _activation_checkpointing(base: BaseModel) -> Iterator[None]:
    with quiet_transformers():  # its newest versions prefer another name for this
        # Reentrant checkpointing loses gradients where the inputs themselves need none.
        base.model.gradient_checkpointing_enable({"use_reentrant": False})
        # It makes the inputs need gradients, which only reentrant checkpointing asks for, and would
        # leave them so.
        base.model.disable_input_require_grads()
    try:
        yield
    finally:
        with quiet_transformers():
            base.model.gradient_checkpointing_disable()


@contextmanager
def _random_state(device: torch.device, seed: int) -> Iterator[None]:
    """Seed torch inside the block only: what the model itself drops depends on nothing before."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
