"""Whether our pages are found as well as the same talk that MemPalace mines by itself.

    python -m benchmarks.recall.run [--json] [--pages N ...] [--palace-keep DIR]

Mines the corpus, with the real embedding model, into throwaway palaces: in our pages, once
for each of --pages, and as one JSONL file a session. Then asks each palace every question,
without a wing, by both of MemPalace's searches (ask.py), and counts the first five hits. Exit
status 1 if our pages (the first of --pages) find fewer sessions or passages than chance
explains: if the paired 95 % bootstrap interval over the questions, ours minus alone, lies
below 0. Of 151 questions, four lost and none won are enough for that; three are not.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path

from benchmarks.recall.corpus import Question, read_corpus
from benchmarks.recall.palaces import Answers, answer, files_by_wing, our_files, whole_file
from benchmarks.recall.report import PalaceFigures, Result, render_table
from benchmarks.recall.scores import Found, by_language, compare_all, find_all, find_lost
from mempalace_toolkit.model.ensure import ModelRequest, ensure
from mempalace_toolkit.model.location import model_folder
from mempalace_toolkit.transcripts.render import PAGE_EXCHANGES

ALONE = "alone"
"""The name of the palace that MemPalace fills by itself."""


def measure(folder: Path, pages: Sequence[int]) -> Result:
    """Build every palace below `folder`, ask it, and compare the first with the last."""
    talks, questions = read_corpus()
    plans = [(f"pages of {size}", partial(our_files, exchanges=size)) for size in pages]
    plans.append((ALONE, partial(whole_file)))
    answers = [
        answer(name, files_by_wing(talks, render), questions, folder / name.replace(" ", "-"))
        for name, render in plans
    ]
    found = [
        {search: find_all(questions, hits) for search, hits in one.hits.items()} for one in answers
    ]
    ours, alone = found[0], found[-1]
    return Result(
        machine=describe_machine(),
        sessions=len(talks),
        questions=len(questions),
        palaces=tuple(
            palace_figures(one, answers[-1], questions, hits)
            for one, hits in zip(answers, found, strict=True)
        ),
        differences={search: compare_all(ours[search], alone[search]) for search in ours},
        lost={search: find_lost(questions, ours[search], alone[search]) for search in ours},
    )


def palace_figures(
    answers: Answers,
    alone: Answers,
    questions: Sequence[Question],
    found: dict[str, list[Found]],
) -> PalaceFigures:
    """One palace's size, cost and shares found."""
    return PalaceFigures(
        name=answers.name,
        files=answers.files,
        drawers=len(answers.drawers),
        same_drawers=(Counter(answers.drawers) & Counter(alone.drawers)).total(),
        mine_seconds=round(answers.mine_seconds, 1),
        ask_seconds=round(answers.ask_seconds, 1),
        found={search: by_language(questions, each) for search, each in found.items()},
    )


def describe_machine() -> str:
    """Processor, cores and the versions that the figures depend on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    parts = [names[0] if names else platform.processor(), f"{os.cpu_count()} cores"]
    parts += [platform.system(), f"Python {platform.python_version()}"]
    return ", ".join(parts + [f"{name} {version(name)}" for name in ("mempalace", "chromadb")])


def main() -> int:
    """Run the benchmark; 1 if ours is worse."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--pages", type=int, nargs="+", default=[PAGE_EXCHANGES, 8], metavar="N")
    parser.add_argument("--palace-keep", type=Path, metavar="DIR", help="build there, and keep")
    options = parser.parse_args()
    if options.palace_keep and options.palace_keep.exists():
        parser.error(f"{options.palace_keep} exists; name a folder that does not")
    ensure(ModelRequest(model_folder(Path.home())), partial(print, file=sys.stderr))
    if options.palace_keep:
        result = measure(options.palace_keep, options.pages)
    else:
        with tempfile.TemporaryDirectory(prefix="recall-") as folder:
            result = measure(Path(folder), options.pages)
    print(json.dumps(asdict(result), ensure_ascii=False) if options.json else render_table(result))
    return 1 if result.worse else 0


if __name__ == "__main__":
    sys.exit(main())
