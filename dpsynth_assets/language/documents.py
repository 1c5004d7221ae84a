"""Public text as files: JSON Lines of `source` and `text`, packed or not. Knows nothing of what is made of it."""

from __future__ import annotations

import glob
import json
import lzma
import re
from collections.abc import Iterator


def read_documents(pattern: str) -> Iterator[tuple[str, str]]:
    """(source, text) of every line of the files that match.

    Raises:
        FileNotFoundError: no file matches.
    """
    paths = sorted(glob.glob(pattern))  # noqa: PTH207 - Path.glob refuses absolute patterns
    if not paths:
        raise FileNotFoundError(f"no file matches {pattern!r}: give --data a glob of JSON Lines files")
    for path in paths:
        opener = lzma.open if path.endswith(".xz") else open
        with opener(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                document = json.loads(line)
                yield document["source"], document["text"]


def user_turns(dialogue: str) -> list[str]:
    """What the user says in a `User: ... Assistant: ...` dialogue, each turn a short message of its own."""
    turns = re.findall(r"User:(.*?)(?=Assistant:|User:|$)", dialogue, re.S)
    return [turn.strip() for turn in turns if turn.strip()]
