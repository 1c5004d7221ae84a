"""Plain YAML scalars as values, and the ones that YAML readers disagree about.

YAML 1.2 readers take `1e-6` for a number and `no` for a text; YAML 1.1 readers, PyYAML and with it the standard's own
package among them, take them the other way round. One contract must not mean two things.
"""

from __future__ import annotations

import math
import re

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]{1,300}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")

# What YAML 1.1 readers take for something other than text; after the resolver of PyYAML.
_BOOL_11 = re.compile(r"yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF|true|True|TRUE|false|False|FALSE")
_INT_11 = re.compile(
    r"[-+]?0b[01_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+"
)
_FLOAT_11 = re.compile(
    r"[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?"
    r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*"
)
_PLAIN_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")


def value_of(text: str) -> str | int | float | bool | None:
    """The value of an unquoted scalar, in YAML 1.2."""
    if _NULL.fullmatch(text):
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text


def fault_of(text: str) -> tuple[str, str] | None:
    """What is wrong with an unquoted scalar and what to write instead, where readers would not agree on it."""
    if _NOT_FINITE.fullmatch(text) or (_FLOAT.fullmatch(text) and not math.isfinite(float(text))):
        return f"`{text[:40]}` is not a finite number", "Write a number"
    remedy = _other_meaning(text)
    return None if remedy is None else (f"`{text}` means different things to different YAML readers", remedy)


def as_everyone_reads(number: str) -> str:
    """`1e-6` as `1.0e-6`: with a point and a signed exponent, a number to every reader."""
    mantissa, _, exponent = number.lower().partition("e")
    if mantissa.lstrip("+-").startswith("."):
        mantissa = mantissa.replace(".", "0.")
    if "." not in mantissa:
        mantissa += ".0"
    if not exponent:
        return mantissa
    return f"{mantissa}e{exponent}" if exponent[0] in "+-" else f"{mantissa}e+{exponent}"


def _other_meaning(text: str) -> str | None:
    if _INT.fullmatch(text):
        return None if _PLAIN_INT.fullmatch(text) else f'Write "{text}" if it is text, {int(text)} if it is a number'
    if _FLOAT.fullmatch(text):
        return None if _FLOAT_11.fullmatch(text) else f"Write {as_everyone_reads(text)}"
    if text in _BOOL:
        return None
    if _BOOL_11.fullmatch(text):
        truth = "true" if text.lower() in ("yes", "on") else "false"
        return f'Write "{text}" if it is text, {truth} if it is a truth value'
    if _INT_11.fullmatch(text) or _FLOAT_11.fullmatch(text):
        return f'Write "{text}" if it is text, or the number in plain decimal digits'
    return None
