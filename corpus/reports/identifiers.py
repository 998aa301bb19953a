"""Rules that find identifiers other than people's names. A rule is a tuple of patterns for one kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from corpus.reports.dates import AGES, DATES
from corpus.reports.numbers import EMAILS, IPS, PHONES, RECORDS, SSNS, URLS
from corpus.reports.places import ADDRESSES, EMPLOYERS, KNOWN_FACILITIES, PLACES, facilities
from corpus.reports.spans import Span, rule

IDENTIFIERS: tuple[Callable[[str], Iterator[Span]], ...] = (
    rule("email", EMAILS),
    rule("url", URLS),
    rule("ip", IPS),
    rule("ssn", SSNS),
    rule("phone", PHONES),
    rule("record", RECORDS),
    rule("date", DATES),
    rule("age", AGES),
    rule("address", ADDRESSES),
    rule("place", PLACES),
    facilities,
    rule("facility", KNOWN_FACILITIES),
    rule("employer", EMPLOYERS),
)
"""Kinds are keys of `corpus.reports.deidentify.SURROGATES`."""
