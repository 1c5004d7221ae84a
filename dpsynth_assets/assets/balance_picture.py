"""A population's budget in one picture: what is spent and what is left, stacked up to the cap.

Drawn of balances that Dagster keeps on the `budget` asset: one after each charge and each refusal. Figures of the
ledger alone. A few lines of SVG and no library: the interface shows in a page only Markdown below a thousand
characters, and hides everything longer behind a button.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ledger import Spending
from ledger.rounded import down, up

DRAWN = 12  # of the newest balances
_WIDTH, _HEIGHT = 280, 90


@dataclass(frozen=True)
class Balance:
    """What stood in the ledger at a time; `spent` counts what is reserved too."""

    time: datetime
    cap: float
    spent: float
    left: float

    @classmethod
    def of(cls, spending: Spending, time: datetime) -> Balance:
        return cls(time, spending.epsilon_cap, spending.epsilon_spent, spending.epsilon_remaining)


def balance_picture(balances: Sequence[Balance]) -> str:
    """The picture as Markdown, of at least one balance, the oldest first; each lasts until the next."""
    shown, now = balances[-DRAWN:], balances[-1]
    top = max(*(each.cap for each in shown), *(each.spent + each.left for each in shown)) or 1.0
    svg = (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='390' height='{_HEIGHT + 16}' font-size='11' "
        "font-family='sans-serif'>"
        f"<path fill='#c9d8ea' d='{_steps([each.spent + each.left for each in shown], top)}'/>"
        f"<path fill='#1f3a5f' d='{_steps([each.spent for each in shown], top)}'/>"
        f"<text x='288' y='12'>cap {now.cap:g}</text><text x='288' y='34' fill='#58a'>left {down(now.left)}</text>"
        f"<text x='288' y='56' fill='#1f3a5f'>spent {up(now.spent)}</text>"
        f"<text y='{_HEIGHT + 13}'>{shown[0].time:%Y-%m-%d}</text>"
        f"<text x='{_WIDTH}' y='{_HEIGHT + 13}' text-anchor='end'>{now.time:%Y-%m-%d}</text></svg>"
    )
    return f"![spent and remaining epsilon](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _steps(heights: Sequence[float], top: float) -> str:
    """The outline of bars side by side, standing on the ground."""
    each = _WIDTH / len(heights)
    bars = "".join(f"V{_HEIGHT * (1 - height / top):.0f}h{each:.0f}" for height in heights)
    return f"M0 {_HEIGHT}{bars}V{_HEIGHT}z"
