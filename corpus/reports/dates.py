"""Rules that find dates, and ages over 89.

Measurements share their characters with dates ("12/10/08 mm", "2/5 strength", "L4-5"), so a rule asks for a sign (a
valid month and day, a word that announces a date, a full format) and gives way where a unit follows.
"""

from __future__ import annotations

from corpus.reports.spans import NO_UNIT, one_of

_MONTH = rf"(?i:{one_of('months')})(?![^\W\d_])\.?"
_WEEKDAY = r"(?:\b(?i:(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?)\.?,?[ ]+)?"
_D, _M, _Y4 = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])", r"(?:19|20)\d\d"
_YEAR = rf"(?:{_Y4}|['’]?\d\d(?![\d:/]|\.\d))"
_TH, _ORDINAL = r"(?:st|nd|rd|th|er|º)?", one_of("ordinals")
_SPELLED_YEAR = (
    r"(?:nineteen|twenty|two thousand)(?:[ -](?:and|oh|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen|"
    r"(?:twen|thir|for|fif|six|seven|eigh|nine)ty|one|two|three|four|five|six|seven|eight|nine))*"
)
_TIME = r"(?:[T ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?)?"
_BEFORE, _AFTER = r"(?<![\d./-])(?<![A-Z])", r"(?![\w/-]|\.\d)" + NO_UNIT
_OF = r"(?:,?[ ]+(?:of|de|del|von|the)?[ ]*|[-/. ]{0,2})"
_NO_COUNT = rf"(?![ -]?(?:{one_of('counted')})\b)"
_STUDY = rf"(?i:{one_of('studies')})"
_NO_DOSE = r"(?<!CTDI[ ])(?<!CTDIvol[ ])(?<!DLP[ ])"
_NO_MEASURE = r"(?<!strength[ ])(?<!power[ ])(?<!motor[ ])(?<!pain[ ])"
_LIFE = r"(?:d\.?o\.?[bd]|date of (?:birth|death)|birth[ ]?date)"
_SHORT = rf"(?P<part>{_M}[/-]{_D}|(?:1[3-9]|2\d|3[01])/0[1-9])(?![ ]?,?[ ]?\d){_AFTER}{_NO_COUNT}"
DATES = (
    # 2019-03-12, 2019/3/12, 2019. 3. 12, 20190312, with the time that follows
    rf"{_WEEKDAY}{_BEFORE}(?:{_Y4}([-/.][ ]?){_M}\1{_D}|{_Y4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])){_TIME}(?![\w-])"
    + NO_UNIT,
    # 03/12/2019, 3-12-19, 12.3.2019, 12. 3. 2019, 12.03.19, Friday 3/12/19
    rf"{_WEEKDAY}{_BEFORE}(?:{_M}([-/]){_D}|{_D}([-/]){_M})(?:\1|\2)(?:{_Y4}|['’]?\d\d){_AFTER}",
    rf"{_WEEKDAY}{_BEFORE}(?:{_M}\.[ ]?{_D}|{_D}\.[ ]?{_M})\.[ ]?{_Y4}{_AFTER}",
    rf"{_WEEKDAY}{_BEFORE}(?:{_M}[ ]([-/])[ ]{_D}|{_D}[ ]([-/])[ ]{_M})[ ](?:\1|\2)[ ]{_Y4}{_AFTER}",  # 5 / 6 / 2022
    rf"{_WEEKDAY}{_NO_DOSE}{_BEFORE}(?:0[1-9]|[12]\d|3[01])\.(?:0[1-9]|1[0-2])\.\d\d{_AFTER}",
    rf"(?i:\b(?:{one_of('before_dates')}|{one_of('before_dotted_dates')})(?:[ ]+on)?:?)[ ]+"
    rf"(?P<part>{_D}\.{_M}\.['’]?\d\d){_AFTER}",  # CT vom 14.3.21: elsewhere "3.1.10" numbers a section or a version
    rf"(?i:\b(?:{_LIFE}\b\.?[ ]*[:=]?|date[ ]*[:=])[ ]*)"
    rf"(?P<part>\d{{6}}(?:\d\d)?|{_D}[ ]{_D}[ ](?:{_Y4}|\d\d))(?![\w-])",
    rf"(?i:(?<!\w){one_of('births')}[ ]*[:=]?[ ]*)"
    rf"(?P<part>{_D}(?:[-/.][ ]?|[ ]){_M}(?:[-/.][ ]?|[ ])(?:{_Y4}|['’]?\d\d))(?![\w-])",  # geb. 12. 3. 51
    rf"(?<!\d )(?i:\b{one_of('before_days')}[ ]+)(?P<part>{_D}\.[ ]?{_M}\.)(?![ ]?\d){NO_UNIT}",
    rf"(?i:\b(?:le|du|au|el|del)[ ]+)(?P<part>(?:0[1-9]|[12]\d|3[01])/(?:0[1-9]|1[0-2])){_AFTER}",
    # 03/2019, 03.2019, 2019-03; on 3/12, LMP 3/12; in 4/95
    rf"{_BEFORE}(?:{_M}[/-]|(?:0[1-9]|1[0-2])\.){_Y4}{_AFTER}",
    rf"{_BEFORE}{_Y4}[-/](?:0[1-9]|1[0-2])(?![\w/-]|\.\d)" + NO_UNIT,
    rf"(?i:{_NO_MEASURE}\b{one_of('before_dates')}(?:[ ]+on)?:?)[ ]+{_SHORT}",
    # CT from 3/14, compared with 3/14 study, last Tuesday 3/14
    rf"\b{_STUDY}[ ]+from[ ]+{_SHORT}",
    rf"(?i:\bcompar(?:ed|ison)[ ]+(?:to|with)(?:[ ]+the)?)[ ]+{_SHORT}"
    rf"(?=[ ]+{_STUDY}\b)",
    rf"\b(?i:(?:mon|tues|wednes|thurs|fri|satur|sun)day),?[ ]+{_SHORT}",
    rf"(?i:\bfrom|between)[ ]+(?P<part>{_M}/{_D}[ ]+(?:to|and|-|through|until)[ ]+{_M}/{_D}){_AFTER}"
    rf"(?<!/10)(?<!/5){_NO_COUNT}",
    rf"(?<=\d)[ ]*(?i:to|through|until)[ ]+(?P<part>(?:0[1-9]|1[0-2])[/-](?:0[1-9]|[12]\d|3[01])){_AFTER}{_NO_COUNT}",
    rf"(?i:\b(?:in|early|late|of)) +(?P<part>{_M}/\d\d)(?![ ]?,?[ ]?\d|[ ]+(?:patients|cases|points|of)\b){_AFTER}",
    # 12-Mar-2019, 12MAR2019, 12. März 2019, 12 de marzo de 2019
    rf"(?i:(?<!\w){_D}(?:{_TH}|\.(?=[ ]?\w)){_OF}(?!may\b(?! \d)){_MONTH}{_OF}{_YEAR})\b",
    # 5. Mai; vom 5. April; 5 de mayo
    rf"(?<![\d.-])\b{_D}\.[ ]?{one_of('months_after_a_stop')}(?!\w)",
    rf"(?i:\b{one_of('before_days')}[ ]+)(?P<part>{_D}\.[ ]?{_MONTH})(?!\w)",
    rf"(?i:(?<![\d.-])\b{_D}[ ]+d(?:e[ ]+|['’]){_MONTH})(?!\w)",
    # March 12th, 2019; Tuesday, March 12; March twelfth; Mar 12/19; 12 Mar
    rf"{_WEEKDAY}\b{_MONTH}[ ]+(?:the[ ]+)?(?:{_D}{_TH}(?!\d|[.,]\d)|{_ORDINAL})(?!\w){NO_UNIT}"
    rf"(?:[/,]?[ ]*(?:of[ ]+)?(?:(?:{_Y4}|(?<=/)\d\d)(?!\d)|{_SPELLED_YEAR}))?",
    r"\b(?:the[ ]+)?\d{1,2}(?:st|nd|rd|th)[ ]+(?:of[ ]+)?May\b"
    r"(?![ ]+(?:[a-z]+[ ]+)?(?:be|have|represent|reflect|show|need|require)\b)",
    rf"{_WEEKDAY}(?:the[ ]+)?\b(?:{_D}{_TH}|{_ORDINAL})[ -]+(?:day[ ]+)?(?:of[ ]+)?(?!(?i:may)\b(?! \d)){_MONTH}"
    rf"(?:,?[ ]+(?:{_YEAR}|{_SPELLED_YEAR}))?",
    # March 2019, March, 2019, March of 2019, Mar-19, March '19; Spring 2019, Q3 2019
    rf"\b{_MONTH}(?:,?[ ]+(?:of[ ]+)?|[-/])(?:{_Y4}|['’]\d\d)\b|\b{_MONTH}-\d\d\b",
    rf"\b(?:Spring|Summer|Fall|Autumn|Winter|Q[1-4]|[1-4]Q|Easter|Christmas)(?:[ ]+of)?[ ,/]*(?:{_Y4}|['’]\d\d)\b",
    # a month alone
    r"\b(?:January|February|April|June|July|August|September|October|November|December)\b",
    r"(?i:\b(?:in|since|last|this|of|until|by|during|early|late|mid|next|from|through)[ -]+)"
    r"(?P<part>March|May)\b(?![ ]+[a-z]+ed\b)",
    # a year of birth tells an age over 89
    rf"(?i:\b(?:born(?:[ ]in)?|yob|year[ ]of[ ]birth|birth[ ]?year|b\.)[ ]*[:=]?[ ]*)(?P<part>{_Y4})(?!\d|-\d)",
    rf"(?i:(?<!\w){one_of('birth_years')}[ ]*[:=]?[ ]*)(?P<part>{_Y4})(?!\d|-\d)",
)

_OVER_89 = r"(?P<part>9[1-9]|1[0-2]\d)"
_YEARS = r"(?:years?|yrs?\.?|y)[ -]?(?:of[ -]age|old|o\b)|(?:y\.?[ ]?/?[ ]?o\.?|yr[ ]?/[ ]?o)(?![a-z])"
AGES = (
    rf"(?<![\d./-]){_OVER_89}(?=[ -]?(?:{_YEARS}|"
    r"(?:[MFmf]|male|female|man|woman|gentleman|lady)(?:,|[ ](?:with|w/|presents|here|s/p|c/o|in|who))))",
    rf"(?i:\b(?:(?:pt\.?|patient['’]?s?)[ ])?(?:aged?(?:[ ]of|[:=]|/sex:?|[ ]\(?years\)?:)?|turned|turning|"
    r"(?:died|dead|deceased|passed(?:[ ]away)?|living|alive|alert)[ ](?:at|aged?)(?:[ ]age)?)[ ]+|"
    r"[a-z],[ ](?=\d+,[ ]))"
    rf"{_OVER_89}(?!\d|\.\d|[ ]*(?:[a-z]*%|/\d|th|days|weeks|months|hours|pounds|mm|cm|bpm))",
    rf"(?i:(?<![\w./-]){_OVER_89}(?=[ -]?{one_of('years_of_age')}(?!\w)))",
    rf"(?i:\bpat(?:\.|ient(?:in)?),?[ ]){_OVER_89}(?=[ ]?J\b)",  # "120 J" is a shock's energy
    rf"(?i:\bat[ ]){_OVER_89}(?=[ ]years\b)",
    rf"(?<![\w./-]){_OVER_89}(?=[ ]?yrs?\b|/[MF](?![\w/]))",  # 93/F
    rf"(?<![\w./])[MF]/{_OVER_89}(?![\w./-])",
    rf"(?i:\b(?:patient|pt|he|she)[ ](?:is|was)[ ]){_OVER_89}(?=[ ]*(?:$|[\n;]|[.,](?!\d))|(?<=is[ ]\d\d)[ ]and\b)",
    rf"(?i:\bage[ ]*(?:\(years\)[ ]*)?\|[ |]*){_OVER_89}(?![\w./-])",
    rf"(?i:\b(?:dob|sex|gender|m/f)[ ]*[:/]?[ ]*[mf]?[ ,/]+(?:age[ :]*)?){_OVER_89}\b{NO_UNIT}",
    r"(?i:\b(?P<part>ninety[- ](?:one|two|three|four|five|six|seven|eight|nine)|"
    r"(?:one|a) hundred(?:[- ]and)?(?:[- ][a-z]+)?)(?=[- ]years?[- ](?:old|of age)))",
    r"(?i:\b(?P<part>nonagenarian|centenarian))",
)
