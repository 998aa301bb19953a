"""Rules that find numbers that identify: records, accounts, devices, phones, and addresses on a network.

A number counts where a label stands before it ("MRN 123-45-67"), or where its form leaves no doubt (a full phone
number).
"""

from __future__ import annotations

from corpus.reports.spans import NO_UNIT, one_of

_DESIGNATOR = r"(?:[ -]*\(?(?:number|numbers|num|nr|no|nos|id|ids|code|rec|record|\#)(?![a-z])\)?[.]?|[ ]*\#)"
_LINK = (
    r"(?:[ ]*(?:is|was|of|[-–])?[ ]*(?:[:#=.]+[ ]*\n[ ]*(?=\S+[ ]*(?:\n|\Z))|[:#=.]*[ ]*)|"
    r"(?:[ ]*\([a-z ]{2,20}\)|[\"'])?[ ]*(?:[:=][ ]*[\"']?(?=(?:[^\s|\d]*\d){3})|"
    r"\|[ |]*(?=(?:[^|\n\d]*\d){3}[^\s|]*[ ]*(?:[|\n]|\Z))))"
)
"""Between a label and its value, which may fill the line below: so tables come out of a PDF. Or it fills the next cell,
or a string of JSON, or follows brackets ("MRN (hospital): ...")."""
_VALUE = (
    # a word with a digit, or one to three capitals before it; then more groups of digits or capitals
    r"(?P<part>(?=[A-Za-z]{0,8}[*.()/_:-]*\w*[*.()/_:-]*[\w*.()/_:-]*\d|"
    r"[A-Z]{1,3}[ ][A-Z]?\d)(?:\(\d+\))?[\w*](?:[\w*/_()-]|[.:^](?=\w))*"
    rf"(?:[ ](?:\d{{2,}}(?![\d.,/]|[ ]?-)|[A-Z]{{1,3}}(?=[ ]\d)|[A-Z]{{1,3}}(?=[.,;)\n]|$)|"
    rf"(?<=\d[ ])\d+[A-Z]+\b){NO_UNIT}){{0,4}})"
)
_NOUN = r"(?:(?:de|del|di|da|la|du)[ ]|[dl]['’]){0,2}[^\W\d_]+"
RECORDS = (
    rf"(?i:(?<![\w-])(?:{one_of('numbered')}|"
    rf"{one_of('numbered_by_designator')}){_DESIGNATOR}+){_LINK}(?=\S*\d\S*[ ]?\d){_VALUE}",
    rf"(?i:(?<![\w-])(?:{one_of('numbered')})[ ]*[:=][ ]*)(?=\S*\d\S*\d\S*[ ]?\d){_VALUE}",
    rf"(?i:(?<![\w-])(?:{one_of('always_numbered')}){_DESIGNATOR}*){_LINK}(?=[^\s,;]*[ ]?\S*\d\S*\d|"
    rf"[A-Z]{{1,3}}[ ][A-Z]?\d)"
    rf"{_VALUE}{NO_UNIT}",
    # Fall-Nr.: 7712345, Auftragsnummer 123456; N° de dossier : 8004829, nº 483920, IPP 8004829
    rf"(?i:\b[^\W\d_]+-?(?:nr|nummer)(?![^\W\d_])|\b(?:n\.?[°º]|num[eé]ro|número)(?:[ ]*{_NOUN}(?:[ ]{_NOUN}){{0,2}})?|"
    rf"(?<![\w-]){one_of('numbered_at_length')}{_DESIGNATOR}*)[.]?[ ]*[:=]?[ ]*"
    rf"(?P<part>[A-Z]{{0,3}}\d(?:[ -]?\d){{4,14}})(?![\w-]|[.,]\d){NO_UNIT}",
    r"(?i:(?<![\w-])(?:login|log-in|logon|user(?:[ ]?name|[ ]?id)|workstation[ ]\S+[ ]user|,[ ]user|"
    r"account[ ]name)[ ]*(?:is|[:=])?[ ]+"
    r"(?P<part>(?!(?:to|was|is|page|and|the|with)\b)[a-z][\w.-]*\w))",
    r"(?<![\w-])[A-Z]{1,4}-(?:\d{2}-\d{4,}|\d{6,})\b|(?<![\w-])[A-Z]{1,3}\d\d-\d{4,}(?![\w-])",
    r"(?<![\w-])[1-9][A-Z][A-Z\d]\d([ -]?)[A-Z][A-Z\d]\d\1[A-Z]{2}\d{2}(?![\w-])",  # Medicare: 1EG4 TE5 MK73
    r"(?m:^PID\|[^|\n]*\|)(?P<part>\w[\w-]*\d)",  # HL7: the second and the third field of a patient
    r"(?m:^PID\|(?:[^|\n]*\|){2})(?P<part>\w[\w-]*\d)",
    r"(?<![\w.-])(?P<part>\w[\w-]*\d)(?=\^[^^|\n]*\^[^^|\n]*\^[^^|\n]*\^[A-Z]{2,3}\b)",
    r"(?i:\bgroup[ ]+)(?P<part>(?=[\w./-]*\d\d)[\w./-]{4,}\w)",
    r"(?<![\w.,/-])[A-Z]{1,4}\d{6,}(?![\w.,/]*[\w])",
    r"(?<![\w.,/-])[A-Z]{0,3}\d{8,}(?![\w.,/]*[\w])" + NO_UNIT,
    r"(?<![\w.,/-])\d{2,5}(?:-\d{2,5}){2,4}(?![\w-])" + NO_UNIT,  # 1859-553-3925-59
    r"(?<![\w.,/-])\d{4}(?:[ ]\d{4}){2,3}(?![\w/-]|\.\d)" + NO_UNIT,  # 1234 5678 9012: a card
    r"(?<![\w-])ID[ ]+(?P<part>[A-Z]{0,3}-?\d{4,}[\w/-]*)(?!\.\d)" + NO_UNIT,
    r"(?<![\w-])[A-Z]{6}\d\d[A-Z]\d\d[A-Z]\d{3}[A-Z](?![\w-])",  # an Italian tax code
    r"(?<![\w.])[0-2](?:\.\d+){5,}(?![\w])",  # a DICOM UID
    r"(?<![\w-])(?=[A-Z0-9]*\d[A-Z0-9]*\d)(?=\w*[A-Z])[A-HJ-NPR-Z0-9]{11}\d{6}(?![\w-])",  # a VIN
    r"\(\d\d\)\d{10,}(?:\(\d\d\)[\w-]+)*",  # a device's GS1 code
    rf"(?i:\b(?:licen[cs]e[ ]plates?|plates?(?={_DESIGNATOR}|[ ]*:)|(?:vehicle|car)[ ]registration|"
    rf"number[ ]plate|license[ ]tags?)(?:{_DESIGNATOR})*){_LINK}"
    r"(?P<part>(?=[A-Z0-9 -]*\d)(?=[A-Z0-9 -]*[A-Z])[A-Z0-9]{1,7}(?:[ -][A-Z0-9]{1,4}){0,2})\b",
)

_EXTENSION = r"(?:,?[ ]*(?:x|ext\.?|extension|#)[ ]*\d{1,6})?"
_PHONE = r"(?:\+|\(?\+?)?\(?\d(?:[ .()/-]{0,3}\d){5,14}"
PHONES = (
    rf"(?<![\w.-])(?:\+?1[-. ]?)?(?:\(\d{{3}}\)[ ]?\d{{3}}[-. ]\d{{4}}|\d{{3}}[-./]\d{{3}}[-.]\d{{4}}|"
    rf"\d{{3}}[ ]\d{{3}}[- ]\d{{4}}){_EXTENSION}(?![\w-])",
    rf"(?<![\w+])\+(?=(?:[ .()-]{{0,2}}\d){{8,15}}(?!\d))\d{{1,3}}(?:[ .-]?\(?\d{{1,5}}\)?){{2,5}}{_EXTENSION}(?!["
    r"\w-])",
    r"(?<![\w.,/-])(?:\(0\d{2,4}\)|0\d{1,4})[ /-]\d{3,4}(?:[ -]?\d{3,4})(?![\w-]|\.\d)" + NO_UNIT,  # 020 7946 0123
    # 02 99 28 43 21, 044 123 45 67
    r"(?<![\w.,/-])(?<!\d )0(?:[1-9](?:[ .]\d\d){4}|\d\d[ ]\d{3}[ ]\d\d[ ]\d\d)(?![\w/-]|[ .,]\d)" + NO_UNIT,
    rf"(?i:(?<!\w){one_of('phone_labels')}\b[.)]?[ ]*(?:number|no\.?|\#)?[ ]*"
    r"(?:is|at|to|:[ ]*\n(?=[\d ().+/-]+(?:\n|\Z))|:|-)?[ ]*|"
    rf"(?<!\w)[tfmhwcpo][ ]*[:.)][ ]*(?=(?:[^\d\n]?\d){{9}})|"
    rf"(?<!\w)[TFMHWCPO][ ]+(?=\(?\+?\d[\d ().-]{{8}}))(?P<part>{_PHONE}{_EXTENSION})"
    r"(?![\w-]|\.\d)" + NO_UNIT,
    r"(?i:\b(?:pagers?|beepers?|bleep|pgr|bpr|extension|ext|vocera|spectralink|durchwahl|phone|tel|telephone)\b[ .#:]*"
    r"(?:number|no\.?|id)?[ .#:]*(?:is[ ])?)(?P<part>x?\d[\d-]{2,}\d)(?![\w-])" + NO_UNIT,
    r"(?i:(?<![\w.])(?:ext|extn)\.?[ ]?)\d{3,6}\b|(?<![\w.-])x\d{4,6}\b" + NO_UNIT,
    r"(?<![\w.-])p(?P<part>x?\d{4,5}|\d{2,3}-\d{4})\b" + NO_UNIT,
    r"(?<![\w.,/-])[2-9]\d{2}-\d{4}(?![\w-]|\.\d|[ ]?(?:-|to))" + NO_UNIT,
)
SSNS = (
    # French: 1 51 03 35 238 012 34
    r"(?<![\w.,/-])[12][ ]\d\d[ ](?:0[1-9]|1[0-2])[ ](?:\d\d|2[AB])[ ]\d{3}[ ]\d{3}(?:[ ]\d\d)?(?![\w-]|[.,]\d)",
    r"(?<![\w-])\d{3}-\d{2}-\d{4}(?:-?[A-Z]\d?)?(?![\w-])",  # Medicare once added a letter
    r"(?i:\b(?:ssn?|soc(?:ial)?\.?[ ]*sec(?:urity)?\.?)(?:[ ]*(?:number|num|no\.?|\#))*[ ]*(?:is|[:#=-])*[ ]*)"
    r"(?P<part>[\dXx*]{3}[- ]?[\dXx*]{2}[- ]?\d{4}[A-Z]?|[\dXx*-]*\d{4}[A-Z]?)\b",
    r"(?<![\w*-])[Xx*]{3}-[Xx*]{2}-\d{4}\b",
)
_TOP = one_of("top_level_domains")
EMAILS = (
    r"(?<![\w.+%'-])[\w.+%'-]+@[\w-]+(?:\.[\w-]+)+",  # begun nowhere else, or a long run takes its square in time
    rf"(?<![\w.+%-])[\w.+%-]+[ ]*(?:\(at\)|\[at\]|[ ]at[ ])[ ]*[\w-]+"
    rf"(?:(?:\.|[ ]dot[ ])[\w-]+)*(?:\.|[ ]dot[ ]){_TOP}\b",
)
URLS = (
    r"(?i:\b[a-z]{3,6}://[^\s<>\"')\]]+[^\s<>\"')\].,;:])",
    r"(?i:\bwww\.[\w-]+(?:\.[\w-]+)+(?::\d+)?(?:/[\w./?=&%#~-]*[\w/])?)",
    rf"(?<![\w@.])(?:[\w-]+\.)+{_TOP}(?![\w-])(?::\d+)?(?:/[\w./?=&%#~-]*[\w/])?",
    r"(?<![\w.@])@[A-Za-z]\w{3,}\b",
)
IPS = (
    r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?::\d{2,5})?(?![\w]|\.\d)" + NO_UNIT,
    r"(?i:(?<![\w:])(?:[0-9a-f]{1,4}:){1,7}:(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6})?(?![\w:]))",
    r"(?i:(?<![\w:])(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}(?![\w:]))",
    r"(?i:(?<![\w:-])(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}(?![\w:-]))",
)
