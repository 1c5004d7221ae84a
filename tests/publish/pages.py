"""Pages as a browser reads them, and texts that would like to be read as markup."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

HOSTILE = (
    "</style></pre></td><script>alert(1)</script><img src=https://x.example/i onerror=alert(1)>"
    "\u202e|`[a](b)\x1b{{7*7}}"
)
LOADING = {"script", "img", "link", "iframe", "object", "embed", "base", "form", "input", "image", "foreignobject"}


class Page(HTMLParser):
    """Elements and text of a page. Fails where an element is not closed in its place."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "hr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def stands_alone(self) -> bool:
        """Whether it loads nothing, runs nothing, leads nowhere but to itself, and tells the browser so."""
        policies = [each["content"] or "" for tag, each in self.elements if tag == "meta" and "http-equiv" in each]
        return self.loads_nothing() and len(policies) == 1 and policies[0].startswith("default-src 'none'")

    def loads_nothing(self) -> bool:
        for tag, attributes in self.elements:
            assert tag not in LOADING, tag
            assert not any(name.startswith("on") for name in attributes), attributes
            for name in ("href", "src", "action", "srcset", "xlink:href"):
                assert (attributes.get(name) or "#").startswith("#"), attributes
        return True


def hostile(value: Any, names: bool = False) -> Any:
    """The same data with a hostile text behind every text; behind those that name something too, if `names`."""
    if isinstance(value, dict):
        return {key + HOSTILE if names else key: hostile(each, names) for key, each in value.items()}
    if isinstance(value, list):
        return [hostile(each, names) for each in value]
    return value + HOSTILE if isinstance(value, str) else value
