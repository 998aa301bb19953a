"""What a person's name stands after: titles, labels, relations and the like."""

from __future__ import annotations

import re
from typing import NamedTuple

from corpus.reports.name_words import CAPITALS, SMALL
from corpus.reports.spans import one_of

ROLE = (
    r"(?:(?:referring|ordering|attending|primary care|family|dictating|interpreting|reading|requesting|admitting|"
    r"examining|consulting|treating|supervising|assistant|first|second|co|on-call|senior|junior|chief)[ -]+)*"
    rf"{one_of('roles')}s?"
)


class Announcement(NamedTuple):
    """A pattern after which a name stands."""

    pattern: re.Pattern[str]
    several: bool = False
    """More names may follow after commas and "and"; so "Smith, John" is taken whole too."""
    initial: bool = False
    """An initial alone is a name here ("Dr. X"), and so is a word that names a device or a sign ("Dr. Foley")."""
    closed: bool = False
    """One word is a name only where the field ends after it: "Patient: Smith", not "Patient: Include usual diet"."""
    title: bool = False
    """Any surname may follow, even one that is a word of reports ("Dr. Small")."""
    words: int = 1
    """The fewest words that count."""


def _after(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.MULTILINE)


DEGREES = r"(?:[ ](?:med|univ|habil|dent|rer|nat)\.)*+"
"""What goes on a title: "Dr. med. univ."."""
_GAP = rf"(?:{DEGREES}[ \t]+|(?<=\.)(?=[{CAPITALS}][{CAPITALS}{SMALL}.]))"
"""What stands between a title and a name: in "Dr.Anderson" nothing."""
TITLE = (
    r"(?:Dr|Doctor|Prof|Professor|Mrs?|Ms|Mx|Miss|Nurse|Rev|Capt|Sgt|Herr|Frau|Mme|Madame|Monsieur|Sra|Señora?|Dott|"
    rf"Signora?|{one_of('titles_abroad')})"
)
NAME_OF = r"(?:patient|pt|client|full|last|first|family|given|maiden|legal|preferred)(?:['’]s)? name"
BY = rf"{one_of('done_by')}(?: and \w+)? by"
ANNOUNCEMENTS = (
    Announcement(re.compile(rf"\b(?:Drs|DRS|drs|Doctors|Messrs)\b\.?{_GAP}"), several=True, initial=True, title=True),
    Announcement(
        re.compile(
            rf"\b(?:{TITLE}\b\.?|"
            rf"(?:DR|PROF|MRS|REV|dr|mr|mrs|ms|prof)\.|(?:DR|DOCTOR|MRS|MISS|PROF)(?= [{CAPITALS}]{{3}})|"
            rf"dr(?= [{CAPITALS}])){_GAP}"
        ),
        initial=True,
        title=True,
    ),
    Announcement(re.compile(r"(?<!\d)(?<!\d )\b(?:Fr|Hrn?)\.[ ]")),  # but "12 Fr. Foley"
    Announcement(
        re.compile(
            rf"\bDon[ ](?=[{CAPITALS}][{SMALL}]+[ ][{CAPITALS}][{SMALL}])|"
            rf"(?:^|\b(?:[Ee]l|al|del|[Oo]|do|ao)[ ])Sr\.[ ]|"
            rf"(?<![\w.])M\.[ ](?=[^\n]{{3,60}}?[ ]{one_of('after_monsieur')}\b)|"
            rf"(?i:\b{one_of('before_monsieur')}[ ])M\.[ ]",
            re.MULTILINE,
        )
    ),
    Announcement(re.compile(rf"\b(?:M[RS]\.|M[RS](?= [{CAPITALS}]{{3}})){_GAP}"), initial=True),  # or "MR CHEST"
    Announcement(
        _after(
            rf"\b(?:{NAME_OF}|^re|next of kin|emergency contact|{BY}|"
            rf"{one_of('role_labels')}(?:\(?s\)?)?|{ROLE}(?:\(s\))?(?: name| of record| at discharge)?)"
            rf"[ \t]*[:=：][-–—]?[ \t]*|\b(?:{NAME_OF}|{ROLE}(?: name)?)[ ]*\t[ \t]*|"
            rf"(?:\b{NAME_OF}|^name)[ ]*[-–—;][ ]*"
        ),
        several=True,
        initial=True,
        closed=True,
    ),
    Announcement(  # the name fills the line below its label
        _after(rf"\b(?:{NAME_OF}|name)[ \t]*[:=：][ \t]*\n[ \t]*(?=[^\s:]+[ ,]+[^\n:.]*(?:\n|\Z))"),
        several=True,
        closed=True,
    ),
    Announcement(_after(rf"\b(?:patient|pt|client)(?:['’]s)? name[ ]+(?!{one_of('done_by')}\b)"), words=2),
    Announcement(
        _after(r"\bdear[ ]+|\b(?:sincerely|regards|yours truly|thank you|respectfully|signed)[,.:][ ]*\n*"),
        initial=True,
    ),
    Announcement(_after(rf"\b{BY}[:,]?[ ]+"), several=True),
    Announcement(
        _after(
            rf"\b(?:operated on by|{one_of('done_with')} with|"
            rf"follow(?:ed)?[ -]up with|{one_of('done_to')} to|{ROLE}|report by|admitted under|(?:together|"
            r"along) with|"
            r"d/w|(?<!\w)[sw]/|(?:spoke|talked|met) w/|\bRN|\bper|for referring|pleasure of (?:seeing|meeting)|care of|"
            r"^I)[:,]?[ ]+"
        )
    ),
    Announcement(re.compile(r"\b(?:[Pp]atient|PATIENT|[Pp]t\.?|PT),?[ ]+"), words=2),
    Announcement(_after(r"\b(?:saw|seeing|referring|referred|spoke (?:to|with)|call(?: placed)? to)[ ]+"), words=2),
    Announcement(
        re.compile(
            rf"\b(?i:{one_of('relatives')})(?:[ ]?[(:][ ]?|,?[ ]+(?:named |called |is |was |of )?)|"
            r"\b(?:named |surnamed |goes by |name is |known as )"
        )
    ),
    Announcement(re.compile(r"(?<![\w/])[SDWB]/[Oo][ .:]+"), words=2),  # son of, or "suggestive of"
    Announcement(re.compile(r"\bSister[ ]+"), initial=True),
    Announcement(re.compile(r"/s/[ ]*"), initial=True),
    Announcement(_after(r"^(?:NK1\|[^|\n]*\||PID\|(?:[^|\n]*\|){4})"), initial=True),  # HL7: a relative, the patient
)
