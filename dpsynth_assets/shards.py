"""Work that is cut into shards, and who computes them: a protocol, so that the work knows neither processes nor Ray.

For post-processing only. A shard and what it is computed with are plain values, such as JSON has: public constants,
texts that were released, folders of releases. So that nobody hands over a contract or rows by mistake, and so that what
left a process can be read.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Work:
    """What computes shards, by its name.

    Attributes:
        maker: `module:function`. The function makes of the setup what computes a shard; a result depends on setup and
            shard only, so that it may be computed anywhere, and again.
        setup: plain values.
        environment: what the maker's module reads of the environment, in absolute terms.
    """

    maker: str
    setup: Mapping[str, Any]
    environment: Mapping[str, str] = field(default_factory=dict)


class Pool(Protocol):
    """Workers beside this process."""

    def map(
        self, maker: str, setup: Mapping[str, Any], environment: Mapping[str, str], shards: Sequence[Any]
    ) -> Generator[tuple[int, Any]]:
        """Each shard's place and result, as they end, each once. Close it where not all of it is taken."""
