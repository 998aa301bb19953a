"""What a prompt asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from corpus.anatomy import BY_NAME
from corpus.errors import InputError

KindName = Literal["anatomy", "position", "size", "none"]
Attribute = Literal["leftmost", "rightmost", "topmost", "bottommost", "largest", "smallest"]
Frame = Literal["patient", "image"]

KINDS: tuple[KindName, ...] = get_args(KindName)
ATTRIBUTES: tuple[Attribute, ...] = get_args(Attribute)
FRAMES: tuple[Frame, ...] = get_args(Frame)
POSITIONS = ATTRIBUTES[:4]
SIZES = ATTRIBUTES[4:]


@dataclass(frozen=True)
class Intent:
    """What a prompt asks for, whatever its words.

    kind      organ     attribute       frame
    anatomy   a name    None            patient: "left kidney" is on the patient's left
    position  None      one of POSITIONS  image: "leftmost" is on the viewer's left of the displayed picture
    size      None      one of SIZES      image
    none      None      None            image: the text asks for no segmentation

    Raises:
        InputError: The fields don't fit together as in the table.
    """

    kind: KindName
    organ: str | None = None
    attribute: Attribute | None = None
    frame: Frame = "image"
    negated: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError("Intent.kind", f"must be one of {', '.join(KINDS)}, but found {self.kind!r}", "correct it")
        organs: tuple[str | None, ...] = tuple(BY_NAME) if self.kind == "anatomy" else (None,)
        attributes = {"position": POSITIONS, "size": SIZES}.get(self.kind, (None,))
        frame = "patient" if self.kind == "anatomy" else "image"
        for field, allowed in (("organ", organs), ("attribute", attributes), ("frame", (frame,))):
            found = getattr(self, field)
            if found not in allowed:
                names = ", ".join(map(str, allowed))
                raise InputError(
                    f"Intent.{field}", f"must be one of {names} for kind {self.kind}, but found {found!r}", "correct it"
                )

    @property
    def target(self) -> str | None:
        """What is asked for by name: the organ or the attribute."""
        return self.organ or self.attribute
