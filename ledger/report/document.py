"""A page that explains itself: how the report, and the platform's own pages, are written out.

Everything goes through Jinja2 with autoescaping, so that a name, a reason or a text is shown as it is and never read as
markup; the style sheet stands in the page, and a policy in its head forbids it to load or to run anything. The page as
a whole is made visible, so that no text in it can hide another or change the order in which it is read. Knows nothing
of what a page says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, Decimal
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ledger.rounded import down, up
from ledger.visible import visible

if TYPE_CHECKING:
    import jinja2

Template = tuple[str, str]  # a package, and the name of a template in it

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'"
"""The content security policy of a page: nothing is loaded, nothing is run, nothing is sent."""


def document(template: Template, filters: Mapping[str, Callable[..., Any]] | None = None, /, **facts: Any) -> str:
    """The whole document as text. The template finds `style` and `policy` beside the facts; `filters` are its own."""
    from markupsafe import Markup

    page = _template(template, tuple((filters or {}).items()))
    return visible(page.render(style=Markup(_resource("ledger.report", "report.css")), policy=POLICY, **facts))


@cache
def _template(template: Template, filters: tuple[tuple[str, Callable[..., Any]], ...]) -> jinja2.Template:
    import jinja2

    package, name = template
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: _resource(package, name)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"up": up, "down": down, "short": short, "rough": rough, "percent": percent}
    environment.filters |= {"moment": moment, **dict(filters)}
    return environment.get_template(name)


def _resource(package: str, name: str) -> str:
    return files(package).joinpath(name).read_text(encoding="utf-8")


def short(value: float | None) -> str:
    """A number as people wrote it: 8, 1e-06 as 10⁻⁶."""
    if value is None:
        return "–"
    text = f"{value:g}"
    power = re.fullmatch(r"(-?[\d.]+)e([+-])0*(\d+)", text)
    if power is None:
        return text.replace("inf", "∞")
    exponent = (power[2].replace("+", "") + power[3]).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{exponent}" if power[1] == "1" else f"{power[1]} · 10{exponent}"


def rough(value: float) -> str:
    """A derived figure, rounded up to three digits."""
    if math.isinf(value):
        return "∞"
    exact = Decimal(repr(value))
    return short(float(exact.quantize(Decimal(1).scaleb(exact.adjusted() - 2), rounding=ROUND_CEILING)))


def moment(value: str | None) -> str:
    """To the minute, on one line, where it is written as a moment; as it stands otherwise."""
    from markupsafe import Markup

    match = re.match(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)", value or "")
    return Markup('<span class="moment">{} {}</span>').format(*match.groups()) if match else value or "–"


def percent(value: float) -> str:
    """A share that never reaches 100 %."""
    return f"{math.floor(value * 1e4) / 100:g} %"
