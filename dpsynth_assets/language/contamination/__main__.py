"""The command that makes the index of a corpus: see the package's docstring."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.progress import track

from dpsynth_assets.language.contamination.fingerprints import Shape
from dpsynth_assets.language.contamination.index import CorpusIndex
from dpsynth_assets.language.documents import read_documents, user_turns


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m dpsynth_assets.language.contamination",
        description="Make the index of the corpus that a base model was trained on.",
    )
    parser.add_argument("--data", required=True, help="glob of JSON Lines files with `source` and `text`")
    parser.add_argument("--out", required=True, type=Path, help="the file to write; name it *.idx")
    parser.add_argument("--corpus", required=True, help="what the corpus is, in a few words")
    parser.add_argument("--window", type=int, default=Shape.window, help="of so many 8-word runs, one is kept")
    given = parser.parse_args(argv)
    # Whole, since a run across two pieces counts; and what users say, which may be shorter than any run.
    texts = (part for _, text in read_documents(given.data) for part in (text, *user_turns(text)))
    steps = track(texts, description="Reading texts")
    index = CorpusIndex.of(steps, given.corpus, Shape(window=given.window))
    index.save(given.out)
    about = index.about
    print(
        f"{given.out}: {given.out.stat().st_size / 1e6:.1f} MB, {about.documents:,} texts, {about.fingerprints:,} "
        f"fingerprints; finds every shared run of {index.shape.found_for_certain} words",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
