"""Rules that find identifiers other than people's names: dates, ages over 89, numbers, addresses, places, facilities.

Measurements share their characters with dates and numbers ("12/10/08 mm", "2/5 strength", "L4-5"), so a rule asks for a
sign (a valid month and day, a label, a full format) and gives way where a unit follows. A rule is a tuple of patterns;
what is replaced is the group `part`, or the whole match.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from corpus.reports.names import CAPITALISED, UPPER
from corpus.reports.spans import WORDS, Span, one_of

_NO_UNIT = rf"(?![ ]?(?:{one_of('units')}\b|[×%°]|/[a-zA-Z]))"

_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|Jun(?:e)?|Jul(?:y)?|Aug(?:ust)?|Sept?(?:ember)?|"
    r"Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\.?"
)
_WEEKDAY = r"(?:(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?\.?,?[ ]+)?"
_D, _M, _Y4 = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])", r"(?:19|20)\d\d"
_YEAR = rf"(?:{_Y4}|['’]?\d\d(?![\d.:/]))"
_TH, _ORDINAL = r"(?:st|nd|rd|th)?", one_of("ordinals")
_SPELLED_YEAR = (
    r"(?:nineteen|twenty|two thousand)(?:[ -](?:and|oh|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen|"
    r"(?:twen|thir|for|fif|six|seven|eigh|nine)ty|one|two|three|four|five|six|seven|eight|nine))*"
)
_TIME = r"(?:[T ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?)?"
_BEFORE, _AFTER = r"(?<![\d./-])(?<![A-Z])", r"(?![\w/-]|\.\d)" + _NO_UNIT
_DATES = (
    # 2019-03-12, 2019/3/12, 20190312, with the time that follows
    rf"{_BEFORE}(?:{_Y4}([-/.]){_M}\1{_D}|{_Y4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])){_TIME}(?![\w-])" + _NO_UNIT,
    # 03/12/2019, 3-12-19, 12.3.2019, 12.03.19
    rf"{_BEFORE}(?:{_M}([-/]){_D}|{_D}([-/]){_M})(?:\1|\2)(?:{_Y4}|['’]?\d\d){_AFTER}",
    rf"{_BEFORE}(?:{_M}\.{_D}|{_D}\.{_M})\.{_Y4}{_AFTER}",
    rf"{_BEFORE}(?:0[1-9]|[12]\d|3[01])\.(?:0[1-9]|1[0-2])\.\d\d{_AFTER}",
    # 03/2019; on 3/12; in 4/95
    rf"{_BEFORE}{_M}[/-]{_Y4}{_AFTER}",
    rf"(?i:\b(?:on|dated|date:|since|until|till|as of|seen|done|taken)) +(?P<part>{_M}/{_D})(?![ ]?,?[ ]?\d){_AFTER}",
    rf"(?i:\b(?:in|early|late|of)) +(?P<part>{_M}/\d\d)(?![ ]?,?[ ]?\d|[ ]+(?:patients|cases|points|of)\b){_AFTER}",
    # 12-Mar-2019, 12MAR2019
    rf"(?i:(?<!\w){_D}[-/ ]?{_MONTH}[-/ ]?{_YEAR})\b",
    # March 12th, 2019; Tuesday, March 12; March twelfth
    rf"{_WEEKDAY}\b(?i:{_MONTH})[ ]+(?:the[ ]+)?(?:{_D}{_TH}(?!\d|[.,]\d|/)|{_ORDINAL})\b{_NO_UNIT}"
    rf"(?:,?[ ]+(?:of[ ]+)?(?:{_Y4}|{_SPELLED_YEAR}))?",
    # the 12th of March 2019, twelfth of March
    rf"{_WEEKDAY}(?:the[ ]+)?\b(?:{_D}{_TH}|{_ORDINAL})[ ]+(?:day[ ]+)?(?:of[ ]+)?(?i:{_MONTH})\b"
    rf"(?:,?[ ]+(?:{_YEAR}|{_SPELLED_YEAR}))?",
    # March 2019, March of 2019, Mar-19, March '19
    rf"\b(?i:{_MONTH})(?:,?[ ]+(?:of[ ]+)?|[-/])(?:{_Y4}|['’]\d\d)\b|\b{_MONTH}-\d\d\b",
    # a month alone
    r"\b(?:January|February|April|June|July|August|September|October|November|December)\b",
    r"(?i:\b(?:in|since|last|this|of|until|by|during|early|late|mid|next|from|through)[ -]+)"
    r"(?P<part>March|May)\b(?![ ]+[a-z]+ed\b)",
)

_OVER_89 = r"(?P<part>9[1-9]|1[0-2]\d)"
_AGES = (
    rf"(?<![\d./-]){_OVER_89}(?=[ -]?(?:(?:years?|yrs?)[ -]?(?:old|of age)|(?:yo|y/o|y\.o\.)(?![a-z])|"
    r"(?:M|F)[ ](?:with|w/|presents|here|s/p)))",
    rf"(?i:\b(?:aged?(?:[ ]of|:|/sex:)?|turned|turning)[ ]+|[a-z],[ ](?=\d+,[ ])){_OVER_89}"
    r"(?!\d|\.\d|[ ]*(?:[a-z]*%|/\d|th|days|weeks|months|hours|pounds))",
    r"(?i:\b(?P<part>ninety[- ](?:one|two|three|four|five|six|seven|eight|nine)|"
    r"(?:one|a) hundred(?:[- ]and)?(?:[- ][a-z]+)?)(?=[- ]years?[- ](?:old|of age)))",
)

_NUMBER = r"[ ]*(?:number|num|no\.?|id|#)"
_RECORDS = (
    rf"(?i:\b(?:(?:medical[ ]+)?record{_NUMBER}|mrn?(?:{_NUMBER}|:)|mrn|m\.r\.n\.|uhid|npi|dea|csn|"
    rf"(?:accession|acc)(?:{_NUMBER}|:)|accession|{one_of('numbered')}{_NUMBER})[ ]*(?:is|was|of)?[ ]*[:#=.]*[ ]*)"
    r"(?P<part>(?=[\w/.-]*\d)(?:\d{3}[ ]\d{3}[ ]\d{4}|[A-Za-z0-9](?:[\w/-]|\.(?=\w)){2,}))",
    r"(?<![\w-])[A-Z]{1,4}-(?:\d{2}-\d{4,}|\d{6,})\b",
    r"(?<![\w.,/-])[A-Z]{0,3}\d{8,}(?![\w.,/]*[\w])" + _NO_UNIT,
)
_PHONES = (
    r"(?<![\w.-])(?:\+?1[-. ]?)?(?:\(\d{3}\)[ ]?\d{3}[-. ]\d{4}|\d{3}[-.]\d{3}[-.]\d{4}|\d{3}[ ]\d{3}-\d{4})"
    r"(?:,?[ ]*(?:x|ext\.?|extension)[ ]*\d{1,6})?(?![\w-])",
    r"(?<![\w+])\+(?=(?:[ .()-]{0,2}\d){8,15}(?!\d))\d{1,3}(?:[ .-]?\(?\d{1,5}\)?){2,5}(?![\w-])",
    r"(?i:\b(?:phone|telephone|tel|fax|pager|beeper|cell(?:ular)?(?: phone)?|mobile|callback|contact|call(?: me| us)?"
    r"(?: back)?)\b\.?[ ]*(?:number|no\.?|#)?[ ]*(?:is|at|:)[ ]*|\b(?:phone|telephone|tel|fax|pager|beeper)[ .#]+)"
    r"(?P<part>(?:\+|\()?\d[\d() .-]{2,}\d)",
    r"(?i:\b(?:at|call|called|dial|number|phone|ext|or)[ :#]+)(?P<part>\d{3}-\d{4})(?![\w-]|\.\d)" + _NO_UNIT,
)
_SSNS = (
    r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])",
    r"(?i:\b(?:ssn|social security(?: number| no\.?| #)?)[ ]*(?:is|:|#)?[ ]*)"
    r"(?P<part>[\dXx*]{3}[- ]?[\dXx*]{2}[- ]?\d{4})\b",
)
_EMAILS = (r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+",)
_URLS = (r"(?i:\bhttps?://[^\s<>\"')\]]+[^\s<>\"')\].,;:]|\bwww\.[\w-]+(?:\.[\w-]+)+(?:/[\w./?=&%-]*[\w/])?)",)

_CITY = rf"(?:(?:St\.|Ft\.|Mt\.)[ ])?{CAPITALISED}(?:[ ]{CAPITALISED}){{0,2}}"
_STATE, _CODE = one_of("states"), one_of("state_codes")
_ZIP, _POSTCODE = r"\d{5}(?:-\d{4})?", r"[A-Z]{1,2}\d[A-Z\d]?[ ]\d[A-Z]{2}\b"
_ADDRESSES = (
    r"(?<![\w.])\d{1,5}[A-Z]?[ ](?:(?:[NSEW]\.?|North|South|East|West)[ ])?"
    rf"(?:{CAPITALISED}|\d{{1,3}}(?:st|nd|rd|th))(?:[ ]{CAPITALISED}){{0,2}}?[ ]{one_of('streets')}\b\.?"
    r"(?:,?[ ]?(?i:apt|apartment|suite|ste|unit|floor|room|#)\.?[ ]?#?[\w-]+)?"
    rf"(?:,?\s?{_CITY})?(?:,?[ ](?:{_STATE}|{_CODE})\b\.?)?(?:,?[ ](?:{_ZIP}|{_POSTCODE}))?",
    r"(?i:\bP\.?[ ]?O\.?[ ]Box[ ]\d+)",
    rf"\b{_CITY},?[ ](?:{_STATE}|{_CODE})\.?,?[ ]{_ZIP}\b",
    rf"\b{_CITY},?[ ]{_POSTCODE}",
    rf"(?i:\b(?:zip|postal|post)[ ]?(?:code)?[ ]*(?:is|:)?[ ]*)(?P<part>{_ZIP}|{_POSTCODE})(?![\d-])",
)
_PLACES = (
    rf"\b{_CITY},[ ]{_STATE}\b",
    r"\b(?:[Ll]ives?|lived|living|[Rr]esid(?:es?|ed|ing)|resident|moved|travell?(?:s|ed|ing)?|native|grew up|born|"
    r"raised|relocat(?:ed|ing)|trip|driv(?:es|ing)|works?|working|drove|flew)[ ](?:in|to|from|of|near|at|around)[ ]"
    rf"(?!(?i:{one_of('not_names')})\b)(?P<part>{_CITY})",
)

_GENERAL = "General|Memorial|Regional|Community|University|County|Veterans|Children['’]s|Women['’]s"
_SUFFIX = (
    rf"(?:(?:(?:{_GENERAL})[ ])*"
    r"(?:(?:Hospitals?|Infirmary|Clinics?|Hospice|Sanatorium|Healthcare|Polyclinic)|"
    r"(?:Medical|Health|Cancer|Surgery|Surgical|Imaging|Diagnostic|Trauma|Rehabilitation|Care|Heart|Wellness|Dialysis)"
    r"[ ](?:Centers?|Centres?|Systems?|Group|Institute|Associates|Partners|Pavilion|Services|Network|Trust)|"
    r"(?:Radiology|Urology|Cardiology)[ ]Associates|Nursing Home|Rehab Center|School of Medicine|"
    r"NHS (?:Foundation )?Trust)"
    rf"|(?:(?:{_GENERAL.upper()})[ ])*(?:HOSPITAL|CLINIC|INFIRMARY|(?:MEDICAL|HEALTH|CANCER) CENT(?:ER|RE)))"
)
_FACILITY_WORD = rf"(?:(?:St|Mt|Ste)\.|&|of|the|de|and|{CAPITALISED}(?:['’]s)?|{UPPER}(?:['’][Ss])?)"
_FACILITY = re.compile(
    rf"\b(?P<own>(?:{_FACILITY_WORD}[ ]){{1,5}}?){_SUFFIX}(?:[ ]of[ ]{_CITY})?(?![A-Za-z])"
    r"(?![ ](?i:course|stay|day|admission|discharge|visit|records?|number|bed|no\.))"
)
_KNOWN_FACILITIES = (
    r"\b(?:Mayo Clinic|Johns? Hopkins|Massachusetts General|Mass General|MGH|Cleveland Clinic|M\.?D\.? Anderson|"
    r"Mount Sinai|Kaiser(?: Permanente)?|Cedars[- ]Sinai|(?:Memorial )?Sloan[- ]Kettering|Brigham and Women['’]s)\b",
    rf"\bUniversity of {_CITY}(?:[ ]at[ ]{_CITY})?|\b{CAPITALISED}(?:[ ]{CAPITALISED})?[ ]University\b(?! Hospital)",
)
_ENDS_BEFORE_FACILITY = frozenset(("the", "our", "his", "her", "this", "in", "at", "to", "from"))


def facilities(text: str) -> Iterator[Span]:
    """Hospitals, clinics and the like by name; "the Pain Management Clinic" and "our hospital" name none."""
    for match in _FACILITY.finditer(text):
        words = list(re.finditer(r"\S+", match["own"]))
        stops = [i for i, word in enumerate(words) if word.group().casefold() in _ENDS_BEFORE_FACILITY]
        words = words[stops[-1] + 1 :] if stops else words
        while words and words[0].group().casefold() in WORDS["not_names"] | {"&"}:
            words.pop(0)
        if any(word.group().casefold() not in WORDS["generic_facilities"] for word in words):
            yield Span("facility", match.start() + words[0].start(), match.end())


def _rule(kind: str, patterns: tuple[str, ...]) -> Callable[[str], Iterator[Span]]:
    compiled = [re.compile(pattern) for pattern in patterns]

    def recognise(text: str) -> Iterator[Span]:
        for pattern in compiled:
            group = "part" if "part" in pattern.groupindex else 0
            for match in pattern.finditer(text):
                yield Span(kind, *match.span(group))

    return recognise


IDENTIFIERS: tuple[Callable[[str], Iterator[Span]], ...] = (
    _rule("email", _EMAILS),
    _rule("url", _URLS),
    _rule("ssn", _SSNS),
    _rule("phone", _PHONES),
    _rule("record", _RECORDS),
    _rule("date", _DATES),
    _rule("age", _AGES),
    _rule("address", _ADDRESSES),
    _rule("place", _PLACES),
    facilities,
    _rule("facility", _KNOWN_FACILITIES),
)
"""Kinds are keys of `corpus.reports.deidentify.SURROGATES`."""
