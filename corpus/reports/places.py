"""Rules that find addresses, places, facilities and employers by name."""

from __future__ import annotations

import re
from collections.abc import Iterator

from corpus.reports.name_words import CAPITALISED, UPPER
from corpus.reports.spans import NO_UNIT, WORDS, Span, one_of

_CITY = rf"(?:(?:St\.|Ft\.|Mt\.)[ ])?{CAPITALISED}(?:[ ]{CAPITALISED}){{0,2}}"
_STATE, _CODE = one_of("states"), one_of("state_codes")
_ZIP = r"\d{5}(?:-\d{4})?"
_POSTCODE = r"(?:[A-Z]{1,2}\d[A-Z\d]?[ ]\d[A-Z]{2}|[A-Z]\d[A-Z][ -]\d[A-Z]\d)\b"
_TAIL = (
    r"(?:,?[ ]?(?i:apt|apartment|suite|ste|unit|floor|fl|room|rm|lot|#)\.?[ ]?#?[\w-]+|,?[ ]#\w+)?"
    rf"(?:(?:,?\s?|[ ]in[ ]){_CITY})?(?:,?[ ](?:{_STATE}|{_CODE})\b\.?)?(?:,?[ ](?:{_ZIP}|{_POSTCODE}))?"
)
_NUMBER = r"(?<![\w.])(?:\d{1,6}[A-Z]?(?:-\d+)?|(?:One|Two|Three|Four|Five|Ten))"
_COMPASS = r"(?:(?:[NSEW]{1,2}\.?|North|South|East|West|NORTH|SOUTH|EAST|WEST)[ ])?"
_IN_STREET = rf"(?:{CAPITALISED}|{UPPER}|\d{{1,3}}(?:st|nd|rd|th|ST|ND|RD|TH))"
ADDRESSES = (
    rf"(?:(?:Flat|Unit|Apt\.?|Apartment|Suite)[ ]\w+,?[ ])?{_NUMBER}[ ]{_COMPASS}{_IN_STREET}(?:[ ]{_IN_STREET}){{0,3}}"
    rf"[ ]{one_of('streets')}\b\.?{_TAIL}",
    rf"{_NUMBER},?[ ](?:(?i:rue|avenue|boulevard|chemin|place|calle|via|rua|avenida|piazza)[ ](?:(?:de|du|des|"
    r"la|del|della|do|da|"
    rf"d['’])[ ]?){{0,2}}){CAPITALISED}{_TAIL}",
    r"\b(?:Rue|Calle|Via|Rua|Avenida|Piazza|Plaza|Carrer)[ ](?:(?:de|du|des|la|del|della|do|"
    rf"da)[ ]){{0,2}}{CAPITALISED},?"
    rf"[ ]\d{{1,5}}{_TAIL}",
    r"\b[A-ZÄÖÜ][a-zäöüß]+(?:str(?:aße|asse|\.)|weg|platz|gasse|allee|straat|laan|gatan|vej|"
    rf"vägen)[ ]\d{{1,4}}\w?\b{_TAIL}",
    rf"(?<![\w.])(?:\d{{1,6}}[ ])?{_COMPASS}(?:(?:County|State|Farm|Rural|US|U\.S\.|Old|Private)[ ])?(?:Road|"
    r"Route|Rte\.?|Highway|"
    rf"Hwy\.?|Interstate)[ ]#?\d{{1,4}}\b{_TAIL}",
    rf"\b(?:RR|R\.R\.|RFD|HC)[ ]#?\d{{1,4}},?[ ]Box[ ]\d+{_TAIL}",
    r"(?i:\bP\.?[ ]?O\.?[ ]Box[ ]\d+|\bBox[ ]\d{2,5}\b(?=,))",
    rf"\b(?:{_CITY}|{UPPER}(?:[ ]{UPPER}){{0,2}}),?[ ](?:{_STATE}|{_CODE})\.?,?[ ]{_ZIP}\b",
    rf"\b{_CITY},?[ ]{_POSTCODE}",
    rf"(?<![\w.-]){_POSTCODE}{NO_UNIT}(?=[.,;)\n]|$)",
    rf"(?<=, )\d{{5}}[ ]{_CITY}",
    rf"(?i:\b(?:zip|postal|post)[ ]?(?:code)?[ ]*(?:is|[:#=])?[ ]*)(?P<part>{_ZIP}|{_POSTCODE})(?![\d-])",
    # after a label, the rest of the field where it holds a number
    r"(?i:\b(?:(?:home|mailing|street|postal|current|permanent)[ ])?address[ ]*(?:is[ ]|:)[ ]*|\b(?:mail|send|"
    r"ship)[ ]to:[ ]*|"
    r"\bhome:[ ]*(?=\d|\w+[ ]\d)|\b(?:lives|resides|residing|living|domiciled|"
    r"found(?:[ ]down)?(?:[ ]outside)?)[ ](?:at|on|outside)[ ])"
    r"(?P<part>(?=[^.;\n]{0,30}\d)(?-i:[A-Z0-9])(?:(?!\b(?:and|with|in|where|who|for|since)\b)[^.;\n]|(?<=\b\w)\.|"
    r"(?<=\b(?:St|Dr|Rd|Ln|Ct|Pl))\.|(?<=\b(?:Ave|Apt|Ste))\.|(?<=\bBlvd)\.){3,80})",
)
_FROM = (
    r"\b(?:[Ll]ives?|lived|living|[Rr]esid(?:es?|ed|ing)|[Rr]esident|moved|travell?(?:s|ed|ing)?|native|grew up|"
    r"[Bb]orn|"
    r"raised|relocat(?:ed|ing)|trip|driv(?:es|ing)|works?|working|drove|flew|[Vv]isit(?:ing|ed|s)?|vacation(?:ing)?|"
    r"(?:is|was|comes|came|are|hails|originally|immigrated|emigrated|retired(?:[ ]\w+)?|farmer|man|woman|"
    r"gentleman|lady|family|refugee|here|back|returned|returning)(?=[ ]from))[ ]"
    r"(?:(?:with[ ]\w+[ ]\w+[ ])?(?:in|to|from|of|near|at|around|outside|by)[ ])(?:(?:the|nearby)[ ])?"
)
_NOT_A_PLACE = rf"(?!(?i:{one_of('not_names')}|{one_of('generic_facilities')}|{one_of('eponyms')})\b)"
PLACES = (
    rf"\b{_CITY},[ ]{_STATE}\b",
    rf"{_FROM}(?P<part>(?:(?:North|South|East|West|New|Upper|Lower)[ ])?{_NOT_A_PLACE}{_CITY}"
    rf"(?:,[ ](?:{_STATE}|{_CODE})\b)?)",
    rf"(?i:\b{one_of('lives_in')}[ ]+)"
    rf"(?P<part>(?:(?:[A-Z]{{1,2}}-)?\d{{4,5}}(?:[ ][A-Z]{{2}})?[ ])?{_NOT_A_PLACE}{_CITY})",
    rf"\b(?:D|A|CH|F|I|E|NL|B|L)-(?P<part>\d{{4,5}}[ ]{_CITY})",
    rf"\b{CAPITALISED}(?:[ ]{CAPITALISED})?[ ](?:County|Township|Borough|Parish)\b(?![ ](?i:hospital|clinic|medical))",
)
EMPLOYERS = (
    r"(?:\b(?i:employed(?:[ ]by|[ ]at)?|employer(?:[ ]is)?:?|works?(?:[ ]for|[ ]at)|worked(?:[ ]for|[ ]at)|"
    r"working(?:[ ]for|[ ]at)|"
    r"retired[ ]from|(?:teacher|professor|student|nurse|driver|clerk|manager|engineer|officer|employee|cook|job|"
    r"coach)[ ]"
    rf"(?:at|for|with))[ ](?:the[ ])?)(?P<part>{_NOT_A_PLACE}(?:{CAPITALISED}|{UPPER})"
    rf"(?:[ ](?:{CAPITALISED}|{UPPER}|&|of|and(?=[ ][A-Z]))|,[ ](?:Inc|LLC|Ltd|Co|Corp)\b\.?){{0,5}})",
    rf"\b{CAPITALISED}(?:[ ]{CAPITALISED}){{0,3}}(?:,?[ ](?:Inc|LLC|Ltd|Corp|GmbH)\b\.?|[ ]&[ ](?:Sons|Co)\b\.?)",
)

_GENERAL = (
    "General|Memorial|Regional|Community|University|County|Veterans|Children['’]s|Women['’]s|Royal|Municipal|District|"
    "Baptist|Methodist|Presbyterian|Lutheran|Adventist|Jewish|Catholic|Mercy|Providence|Trinity|Sacred Heart"
)
_SUFFIX = (
    rf"(?:(?:(?:{_GENERAL})[ ])*"
    r"(?:(?:Hospitals?|Infirmary|Clinics?|Hospice|Sanatorium|Healthcare|Health[ ]?Care|Polyclinic|Pavilion)|"
    r"(?:Medical|Health|Cancer|Surgery|Surgical|Imaging|Diagnostic|Diagnostics|Trauma|Rehabilitation|Care|Heart|"
    r"Wellness|Dialysis|"
    r"Nursing|Oncology|Endoscopy|Pathology|Radiology|Urology|Cardiology|Rehab)"
    r"[ ](?:Centers?|Centres?|Systems?|Groups?|Institutes?|Associates|Partners|Pavilion|Services|Network|Trust|Labs?|"
    r"Laborator(?:y|ies)|Campus|Facility|Consultants|Specialists|and[ ]Rehab(?:ilitation)?(?:[ ]Center)?)|"
    r"Assisted[ ]Living|Nursing Home|Skilled Nursing|Rehab Center|School of Medicine|Medical School|Labs|Laboratories|"
    r"NHS (?:Foundation )?Trust|Health(?![ ][a-z])|VAMC|VA(?:[ ]Medical[ ]Center)?|Memorial|Senior[ ]Living|"
    r"Retirement[ ](?:Home|Village|Community))"
    r"(?:[ ]of[ ]{city})?(?:,?[ ](?:LLC|Inc|ER|ED|PC|PLLC)\b\.?)?"
    rf"|(?:(?:{_GENERAL.upper()})[ ])*(?:HOSPITAL|CLINIC|INFIRMARY|(?:MEDICAL|HEALTH|CANCER|IMAGING|"
    r"SURGERY) CENT(?:ER|RE)))"
).replace("{city}", _CITY)
_FACILITY_WORD = rf"(?:(?:St|Mt|Ste|Ft)\.?(?=[ ][A-Z])|&|of|the|de|and|{CAPITALISED}(?:['’]s)?|{UPPER}(?:['’][Ss])?)"
_FACILITY = re.compile(
    rf"\b(?P<own>(?:{_FACILITY_WORD}[ ]){{1,5}}?){_SUFFIX}(?:[ ]of[ ]{_CITY})?(?![A-Za-z])"
    r"(?![ ](?i:course|stay|day|admission|discharge|visit|records?|number|bed|no\.|catheters?|vein|artery))"
)
_NAMED = tuple(
    map(
        re.compile,
        (
            # Hospital of Springfield, Klinikum Springfield, Our Lady of Springfield
            r"\b(?:(?:Children['’]s[ ]|University[ ]|General[ ]|Royal[ ])?Hospital(?:[ ](?:of|for|"
            r"in)(?:[ ]the)?)?|Klinikum|Klinik|"
            r"Krankenhaus|Universitätsklinikum|H[ôo]pital|Clinique|Centre[ ]Hospitalier|Ospedale|Policlinico|"
            r"Cl[íi]nica|"
            r"Ziekenhuis|Our[ ]Lady[ ]of|Saint|Abbey[ ]of)[ ](?:(?:de|du|des|di|la|le|St\.)[ ]){0,2}"
            rf"(?P<own>{CAPITALISED}(?:[ ]{CAPITALISED}){{0,2}})",
            # what a label announces
            r"\b(?i:facility|institution|hospital|site|location|clinic|performed[ ]at|imaging[ ]site|department|"
            r"organi[sz]ation)"
            rf":[ ]*(?P<field>(?:{CAPITALISED}|{UPPER})[^,;:.\n]{{0,60}})",
            # where somebody went, or images were made
            r"\b(?i:(?:transferred|admitted|discharged|sent|referred|treated|followed|hospitali[sz]ed|evaluated|"
            r"biopsied|operated|"
            r"imaging|images|films?|study|scan|CT|MRI|ultrasound|performed|obtained|acquired|done|care|surgery|"
            r"stay(?:ed)?|"
            r"presented)(?:[ ]\w+)?[ ](?:at|from|to)|resident[ ]of)(?:[ ]the|[ ]an?[ ](?:OSH|"
            r"outside[ ]hospital)[ ]\(?)?[ ]"
            rf"(?P<moved>{CAPITALISED}(?:[ ](?:{CAPITALISED}|of|and(?=[ ][A-Z])|{UPPER})){{0,5}})",
        ),
    )
)
KNOWN_FACILITIES = (
    r"\b(?:Mayo Clinic|Johns? Hopkins|Massachusetts General|Mass General|MGH|BWH|BIDMC|UCLA|UCSF|NYU Langone|"
    r"Cleveland Clinic|"
    r"M\.?D\.? Anderson|Mount Sinai|Kaiser(?: Permanente)?|Cedars[- ]Sinai|(?:Memorial )?Sloan[- ]Kettering|MSKCC|"
    r"Brigham and Women['’]s|Dana[- ]Farber|Charité)\b",
    rf"\bUniversity of {_CITY}(?:[ ]at[ ]{_CITY})?|\b{CAPITALISED}(?:[ ]{CAPITALISED})?[ ]University\b(?! Hospital)",
    rf"\b{CAPITALISED}(?:[ ]{CAPITALISED})?[ ](?:High|Elementary|Middle)[ ]School\b",
)
_ENDS_BEFORE_FACILITY = frozenset(("the", "our", "his", "her", "this", "in", "at", "to", "from"))
_GENERIC = WORDS["generic_facilities"] | WORDS["not_names"]
_NEVER_FIRST = WORDS["not_names"] - {"hospital", "our", "children", "general", "hospice", "home"}


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
    for match in (match for pattern in _NAMED for match in pattern.finditer(text)):
        group = match.lastgroup or "own"
        own = match[group].rstrip()
        parts = [word.casefold() for word in re.findall(r"[^\W\d_]+", own)]
        if parts[0] in _NEVER_FIRST or not set(parts) - _GENERIC or set(parts) & WORDS["eponyms"]:
            continue
        yield Span("facility", match.start() if group == "own" else match.start(group), match.start(group) + len(own))
