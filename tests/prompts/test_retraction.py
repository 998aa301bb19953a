"""Requests that are taken back."""

import pytest

from prompts.wording.retraction import retraction


@pytest.mark.parametrize(
    "last",
    [
        "Never mind.",
        "Cancel that.",
        "No, wait, leave it!",
        "Sorry, wrong chat",
        "Oh, forget it, wrong patient.",
        "Please disregard my last request.",
        "I\u2019ve changed my mind, nothing please.",
        "on second thought, don't bother",
        "Not needed after all, thanks.",
        "Oh, it's already been done!",
    ],
)
def test_what_takes_a_request_back_is_found(last: str) -> None:
    for text in (f"Outline the liver. {last}", f"can you mark it?\n{last}", f"the left kidney, 2.5 cm; {last}"):
        assert retraction(text) == last.replace("\u2019", "'")
    assert retraction(f"Outline the liver ({last})") == last.replace("\u2019", "'")


@pytest.mark.parametrize("remark", ["done", "not needed", "completed yesterday", "done by Dr. Cole", "no"])
def test_what_does_so_in_brackets_is_found(remark: str) -> None:
    for text in (f"left kidney [{remark}].", f"Can you mark it? ({remark})"):
        assert retraction(text) == remark


@pytest.mark.parametrize(
    "text",
    [
        "Never mind.",
        "Outline the liver. Never mind the artifacts.",
        "Outline the liver. Forget the spleen.",
        "Never mind. Outline the liver.",
        "Outline the liver. Never mind, make it the spleen.",
        "They always send right when I ask for the left kidney. Please don't.",
        "Outline the liver, never leave it.",
        "Outline the liver. Done.",
        "Outline the liver (no contrast)",
        "Outline the liver (never mind the artifacts)",
        "Outline the liver. The artifact at the top? Ignore it.",
        "Outline the liver. The spleen? No need.",
        "Outline the liver.\nThe contour of the spleen is bad; scrap it.",
    ],
)
def test_what_takes_back_something_else_is_not(text: str) -> None:
    assert retraction(text) is None
