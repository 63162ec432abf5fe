"""The supported formats, each as a pattern that is as narrow as the format's definition or narrower.

Exact where that can be decoded (dates follow leap years); all are bounded in length. Lower-case ``t`` and ``z``, leap
seconds and obsolete spellings are left out: they are valid, but not wanted in answers.
"""

from __future__ import annotations

from functools import cache

from edgechat.engine.schema.pattern import Pattern, read

_LEAP = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][48]|[13579][26]|[2468]0)00)"
_DAY = (
    "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    "|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_YEAR = "(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_DATE = f"(?:{_YEAR}-{_DAY}|{_LEAP}-02-29)"
_TIME = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,6})?(?:Z|[+\\-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9\\-]{0,30}[A-Za-z0-9])?"
_HOST = f"{_LABEL}(?:\\.{_LABEL}){{0,4}}"
_ATOM = "[A-Za-z0-9!#$%&'*+/=?\\^_`{|}~\\-]"
_EMAIL = f"{_ATOM}{{1,32}}(?:\\.{_ATOM}{{1,24}}){{0,1}}@{_LABEL}(?:\\.{_LABEL}){{1,3}}"
_H16 = "[0-9a-fA-F]{1,4}"
_IPV6 = "|".join(
    [f"(?:{_H16}:){{7}}{_H16}"]
    + [f"(?:{_H16}:){{{n}}}(?::{_H16}){{1,{7 - n}}}" for n in range(1, 7)]
    + [f"::(?:{_H16}:){{0,6}}{_H16}", f"(?:{_H16}:){{1,7}}:", "::"]
)
_SEGMENT = "(?:[A-Za-z0-9\\-._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})"
_QUERY = "(?:[A-Za-z0-9\\-._~!$&'()*+,;=:@/?]|%[0-9a-fA-F]{2})"
_URI = (
    f"[A-Za-z][A-Za-z0-9+.\\-]{{1,15}}:(?://{_HOST}(?::[0-9]{{1,4}})?(?:/{_SEGMENT}{{0,64}}){{0,8}}|{_SEGMENT}{{1,128}})"
    f"(?:\\?{_QUERY}{{0,256}})?(?:#{_QUERY}{{0,64}})?"
)
_N = "[0-9]{1,6}"
_CLOCK = f"T(?:{_N}H(?:{_N}M(?:{_N}S)?)?|{_N}M(?:{_N}S)?|{_N}S)"
_DURATION = f"P(?:(?:{_N}Y(?:{_N}M(?:{_N}D)?)?|{_N}M(?:{_N}D)?|{_N}D)(?:{_CLOCK})?|{_CLOCK}|{_N}W)"

FORMATS: dict[str, str] = {
    "date-time": f"{_DATE}T{_TIME}",
    "date": _DATE,
    "time": _TIME,
    "duration": _DURATION,
    "email": _EMAIL,
    "idn-email": _EMAIL,
    "hostname": _HOST,
    "idn-hostname": _HOST,
    "ipv4": f"(?:{_OCTET}\\.){{3}}{_OCTET}",
    "ipv6": _IPV6,
    "uri": _URI,
    "uri-reference": _URI,
    "iri": _URI,
    "iri-reference": _URI,
    "uuid": "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
    "json-pointer": "(?:/(?:[^~/\\x00-\\x1f]|~[01]){0,64}){0,16}",
    "byte": "(?:[A-Za-z0-9+/]{4}){0,512}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?",
}
"""Format of strings -> pattern of the whole string."""

INTEGER_FORMATS: dict[str, tuple[int, int]] = {
    "int8": (-(2**7), 2**7 - 1),
    "uint8": (0, 2**8 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
"""OpenAPI format of numbers -> its range."""

UNCONSTRAINED = frozenset({"float", "double", "password", "decimal"})
"""Formats that describe how a value is shown or stored, and exclude no value."""


@cache
def format_pattern(name: str) -> Pattern | None:
    """The pattern of a format, or None when the format is not known."""
    body = FORMATS.get(name)
    return None if body is None else read(f"^(?:{body})$")
