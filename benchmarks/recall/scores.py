"""Turns hits into figures: what was found, and whether a difference is more than noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.recall.corpus import Question

RESAMPLES = 10_000
SEED = 20260107


@dataclass(frozen=True, slots=True)
class Found:
    """The rank (1 to 5) of the first right hit for one question, by session and by passage.

    0 where none of the five is right.
    """

    session: int
    passage: int


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of questions found among the five, and mean reciprocal ranks (0 if not found)."""

    questions: int
    session: float
    passage: float
    session_mrr: float
    passage_mrr: float


@dataclass(frozen=True, slots=True)
class Difference:
    """Ours minus alone, with the ends of the paired 95 % bootstrap interval."""

    mean: float
    low: float
    high: float

    @property
    def worse(self) -> bool:
        """Whether ours is worse by more than chance explains."""
        return self.high < 0


def holds(drawer: str, passage: str) -> bool:
    """Whether a drawer holds a passage, white space aside.

    A passage that chunking has cut in two counts if at least half of it, in one piece,
    stands at the drawer's end (its beginning) or at the drawer's start (its end).
    """
    drawer, passage = " ".join(drawer.split()), " ".join(passage.split())
    if passage in drawer:
        return True
    half = (len(passage) + 1) // 2
    return any(
        drawer.endswith(passage[:size].rstrip()) or drawer.startswith(passage[-size:].lstrip())
        for size in range(len(passage) - 1, half - 1, -1)
    )


def find(question: Question, hits: Sequence[tuple[str, str]]) -> Found:
    """The ranks of the first hit from the right session, and of the first with the passage."""
    ranked = list(enumerate(hits, 1))
    right = [(rank, text) for rank, (session, text) in ranked if session == question.session]
    passage = [rank for rank, text in right if holds(text, question.passage)]
    return Found(right[0][0] if right else 0, passage[0] if passage else 0)


def find_all(
    questions: Sequence[Question], hits: Sequence[Sequence[tuple[str, str]]]
) -> list[Found]:
    """`find` for every question."""
    return [find(question, five) for question, five in zip(questions, hits, strict=True)]


def find_lost(
    questions: Sequence[Question], ours: Sequence[Found], alone: Sequence[Found]
) -> list[str]:
    """The questions whose passage only `alone` found."""
    rows = zip(questions, ours, alone, strict=True)
    return [question.text for question, a, b in rows if b.passage and not a.passage]


def by_language(questions: Sequence[Question], found: Sequence[Found]) -> dict[str, Shares]:
    """The figures of all questions, then of each language."""
    groups: dict[str, list[Found]] = {"all": list(found)}
    for question, one in zip(questions, found, strict=True):
        groups.setdefault(question.language, []).append(one)
    return {name: summarize(group) for name, group in groups.items()}


def summarize(found: Sequence[Found]) -> Shares:
    """The figures of some questions."""
    sessions, passages = [one.session for one in found], [one.passage for one in found]
    return Shares(
        len(found),
        _share(sessions),
        _share(passages),
        _mean_reciprocal_rank(sessions),
        _mean_reciprocal_rank(passages),
    )


def _share(ranks: Sequence[int]) -> float:
    return sum(rank > 0 for rank in ranks) / len(ranks)


def _mean_reciprocal_rank(ranks: Sequence[int]) -> float:
    return sum(1 / rank for rank in ranks if rank) / len(ranks)


def compare_all(ours: Sequence[Found], alone: Sequence[Found]) -> dict[str, Difference]:
    """How sessions and passages are found, ours against alone."""
    return {
        "session": compare([one.session for one in ours], [one.session for one in alone]),
        "passage": compare([one.passage for one in ours], [one.passage for one in alone]),
    }


def compare(ours: Sequence[int], alone: Sequence[int]) -> Difference:
    """How the shares found differ, over the same questions, with what chance may do to it."""
    each = np.array([(a > 0) - (b > 0) for a, b in zip(ours, alone, strict=True)], dtype=float)
    drawn = np.random.default_rng(SEED).integers(0, len(each), (RESAMPLES, len(each)))
    low, high = np.percentile(each[drawn].mean(axis=1), (2.5, 97.5))
    return Difference(float(each.mean()), float(low), float(high))
