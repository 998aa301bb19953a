"""What a prompt asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from corpus.anatomy import BY_NAME, ORGANS
from corpus.errors import InputError

KindName = Literal["anatomy", "position", "size", "relation", "none"]
Attribute = Literal["leftmost", "rightmost", "topmost", "bottommost", "largest", "smallest"]
Relation = Literal["left of", "right of", "above", "below"]
Frame = Literal["patient", "image"]
Rank = Literal[1, 2, 3]

KINDS: tuple[KindName, ...] = get_args(KindName)
ATTRIBUTES: tuple[Attribute, ...] = get_args(Attribute)
RELATIONS: tuple[Relation, ...] = get_args(Relation)
FRAMES: tuple[Frame, ...] = get_args(Frame)
RANKS: tuple[Rank, ...] = get_args(Rank)
POSITIONS = ATTRIBUTES[:4]
SIZES = ATTRIBUTES[4:]
SIDES: dict[Attribute, str] = {"leftmost": "right", "rightmost": "left"}
"""Which of the patient's sides lies there in the standard radiological display."""
OPPOSITE = {"left": "right", "right": "left"}
"""The other side."""
ORDINALS = {2: "second", 3: "third"}

PAIRS: dict[str, str] = {o.name: o.name.removeprefix(f"{o.side} ") for o in ORGANS if o.side in SIDES.values()}
"""Member of a pair -> what both are called."""
_UNIONS = {noun for noun in PAIRS.values() if noun in BY_NAME}


def pair_of(organ: str) -> tuple[str, str] | None:
    """The left and the right member of the pair that a structure belongs to or is the union of; None if there is no
    pair."""
    noun = PAIRS.get(organ, organ)
    return (f"left {noun}", f"right {noun}") if noun in PAIRS.values() else None


def on_display(organ: str, attribute: Attribute) -> str | None:
    """How the member of a pair that lies at an edge of the picture is called: by the union's name if the vocabulary has
    one, else by the member's that lies there in the standard display; None where there is no pair."""
    noun = PAIRS.get(organ, organ)
    if noun not in PAIRS.values():
        return None
    return noun if noun in _UNIONS else f"{SIDES[attribute]} {noun}"


def _error(field: str, allowed: tuple, found: object, kind: str) -> InputError:
    names = ", ".join(map(str, allowed))
    return InputError(f"Intent.{field}", f"must be one of {names} for kind {kind}, but found {found!r}", "correct it")


@dataclass(frozen=True)
class Intent:
    """What a prompt asks for, whatever its words.

    kind      organ       attribute        relation          frame    rank    asks for
    anatomy   a name      None             None              patient  1       that structure; "left" is the patient's
    anatomy   of a pair   leftmost or      None              image    1       of the pair, the member that lies there in
                          rightmost                                           the displayed picture; see `on_display`
    position  None        one of POSITIONS None              image    1 to 3  the structure there, as displayed
    size      None        one of SIZES     None              image    1 to 3  the structure of that size
    relation  the anchor  None             one of RELATIONS  image    1       the nearest structure that lies there
    none      None        None             None              image    1       nothing

    `negated` says that the structure is named by what it isn't: "the kidney that is not on the left" asks for the right
    kidney. Only a structure in the patient's frame can be.

    Raises:
        InputError: The fields don't fit together as in the table.
    """

    kind: KindName
    organ: str | None = None
    attribute: Attribute | None = None
    frame: Frame = "image"
    negated: bool = False
    rank: Rank = 1
    relation: Relation | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError("Intent.kind", f"must be one of {', '.join(KINDS)}, but found {self.kind!r}", "correct it")
        named, ranked = self.kind in ("anatomy", "relation"), self.kind in ("position", "size")
        shown = self.kind == "anatomy" and self.frame == "image"
        attributes = {"position": POSITIONS, "size": SIZES}.get(self.kind, tuple(SIDES) if shown else (None,))
        for field, allowed in (
            ("frame", ("image",) if self.kind != "anatomy" else FRAMES if pair_of(str(self.organ)) else ("patient",)),
            ("attribute", attributes),
            ("organ", tuple(BY_NAME) if named else (None,)),
            ("relation", RELATIONS if self.kind == "relation" else (None,)),
            ("rank", RANKS if ranked else (1,)),
            ("negated", (False, True) if self.kind == "anatomy" and not shown else (False,)),
        ):
            if getattr(self, field) not in allowed:
                raise _error(field, allowed, getattr(self, field), self.kind)
        if shown and self.attribute and self.organ != on_display(str(self.organ), self.attribute):
            allowed = tuple(o for o in BY_NAME if on_display(o, self.attribute) == o)
            raise _error("organ", allowed, self.organ, "anatomy in the picture")

    @property
    def target(self) -> str | None:
        """What is asked for, in a few words that no other intent of its sort has: "liver", "second largest", "leftmost
        kidney", "above left kidney"; None for nothing."""
        if self.relation:
            return f"{self.relation} {self.organ}"
        if self.kind == "anatomy" and self.attribute:
            return f"{self.attribute} {PAIRS.get(str(self.organ), self.organ)}"
        if self.rank > 1:
            return f"{ORDINALS[self.rank]} {self.attribute}"
        return self.organ or self.attribute

    @property
    def row(self) -> dict[str, Any]:
        """The columns target to relation of a table of requests; `asks` is the kind, since there a request has a kind
        of its own."""
        fields = asdict(self)
        return {"target": self.target or self.kind, "asks": fields.pop("kind")} | fields

    @classmethod
    def of_row(cls, row: Mapping[Any, Any]) -> Intent:
        """The intent that the columns of `row` hold; what is missing in a table is None."""
        known = {name: row[name] if isinstance(row[name], str) else None for name in ("organ", "attribute", "relation")}
        return cls(row["asks"], frame=row["frame"], negated=bool(row["negated"]), rank=int(row["rank"]), **known)  # type: ignore[arg-type]
