"""Several tables in exact proportions.

Turns are dealt by R. Tijdeman's rule ("The chairman assignment problem", Discrete Mathematics 32,
1980): among the sources whose next turn has come up, the one that is due first. After n turns each
source has had its weight's share of them to within 1, for every n. With weights in whole numbers
the turns repeat, so one period is kept and any turn is found in O(1). Each source goes through its
own epochs, one after the other, for ever.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from tokenizer.feed.permutation import Ints
from tokenizer.feed.steps import Cursor, Draw, Step, TableSteps, Unit, draw

if TYPE_CHECKING:
    from tokenizer.feed.token_table import Tokens

_LONGEST = 100_000
"""Turns of a period."""


@dataclass(frozen=True)
class Mixture:
    """Tables to read from in turn."""

    parts: Sequence[tuple[Tokens, float | Fraction]]
    """Each table and its weight: whole numbers, fractions, or decimals such as 0.7."""
    per: Unit = "sample"
    """Whether single samples or whole batches take turns. A batch has one shape, so that tables of
    several shapes need `batch`."""

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError("a mixture needs at least one table")
        if self.per not in ("sample", "batch"):
            raise ValueError(f"per {self.per!r} is neither sample nor batch")
        shapes = {shape for tokens, _ in self.parts for shape in tokens.shapes}
        if self.per == "sample" and len(shapes) > 1:
            raise ValueError(
                f"samples of {len(shapes)} shapes cannot share a batch: choose per='batch', cut"
                f" windows of one length, or a table of one picture size; they are {sorted(shapes)}"
            )
        if len({tuple(sorted(tokens.batch_columns)) for tokens, _ in self.parts}) > 1:
            raise ValueError("the tables of a mixture need the same columns, captions and facts")


class Turns:
    """Whose turn it is, for ever."""

    def __init__(self, weights: Sequence[float | Fraction]) -> None:
        """`ValueError` for weights that are not positive or share no short period."""
        self.weights = _whole(weights)
        """In whole numbers without a common factor; their sum is the period."""
        source = _tijdeman(self.weights)
        before = np.zeros(len(source), np.int64)
        for each in range(len(self.weights)):
            before[source == each] = np.arange(self.weights[each])
        self._source, self._before = source, before

    def at(self, turns: Ints) -> tuple[Ints, Ints]:
        """The source of each turn, and how many turns that source had before it."""
        rounds, place = np.divmod(turns, len(self._source))
        source = self._source[place]
        return source, rounds * np.array(self.weights)[source] + self._before[place]


def _whole(weights: Sequence[float | Fraction]) -> tuple[int, ...]:
    exact = [Fraction(str(weight)) for weight in weights]
    if any(weight <= 0 for weight in exact):
        raise ValueError(f"weights must be positive, got {', '.join(map(str, weights))}")
    unit = Fraction(
        math.gcd(*(w.numerator for w in exact)), math.lcm(*(w.denominator for w in exact))
    )
    whole = [weight / unit for weight in exact]
    whole = [weight / math.gcd(*(int(w) for w in whole)) for weight in whole]
    if sum(whole) > _LONGEST:
        raise ValueError(
            f"weights {', '.join(map(str, weights))} repeat only after {sum(whole)} turns, more"
            f" than {_LONGEST}: choose simpler ones"
        )
    return tuple(int(weight) for weight in whole)


def _tijdeman(weights: tuple[int, ...]) -> Ints:
    """One period of turns, in whole numbers: all terms are times period · (2k − 2)."""
    period, slack = sum(weights), max(1, 2 * len(weights) - 2)
    had = [0] * len(weights)
    turns = np.empty(period, np.int64)
    for turn in range(period):
        owed = [(turn + 1) * w - period * h for w, h in zip(weights, had, strict=True)]
        due = [
            (Fraction(period * (slack - 1) - slack * owes, weights[source]), source)
            for source, owes in enumerate(owed)
            if slack * owes >= period or len(weights) == 1
        ]
        turns[turn] = min(due)[1]
        had[turns[turn]] += 1
    return turns


class MixtureSteps:
    """The endless steps of a mixture; its cursors have no epochs of their own."""

    def __init__(
        self, tables: Sequence[TableSteps], turns: Turns, batch_size: int, per: Unit
    ) -> None:
        self._tables = tables
        self._samples = np.array([sum(table.samples) for table in tables])
        self._turns = turns
        self._batch = batch_size
        self._per: Unit = per

    @property
    def unit(self) -> Unit:
        """What takes turns."""
        return self._per

    def step(self, at: Cursor) -> Step:
        """See `Steps`."""
        if self._per == "batch":
            draws = (self._whole_batch(at.consumed),)
            return Step(draws, Cursor(0, at.consumed + 1))
        after = at.consumed + self._batch
        return Step(self._samples_between(at.consumed, after), Cursor(0, after))

    def _whole_batch(self, turn: int) -> Draw:
        source, number = (int(found[0]) for found in self._turns.at(np.array([turn])))
        table = self._tables[source]
        found = table.batch(*divmod(number, sum(table.batches)))
        return replace(found, source=source)

    def _samples_between(self, start: int, stop: int) -> tuple[Draw, ...]:
        source, number = self._turns.at(np.arange(start, stop))
        epoch, position = np.divmod(number, self._samples[source])
        draws = []
        for each in np.unique(source).tolist():
            for some in np.unique(epoch[source == each]).tolist():
                chosen = (source == each) & (epoch == some)
                draws.append(draw(position[chosen], source=each, epoch=some))
        return tuple(draws)
