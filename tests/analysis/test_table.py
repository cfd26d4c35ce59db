"""A result as a table for a terminal."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console

from analysis.table import print_result

if TYPE_CHECKING:
    from tests.analysis.conftest import Speech


def test_what_a_reference_spells_is_text_and_never_markup(speech: Speech) -> None:
    result = speech.scored("lantern", "omitted")
    first = result.words[0].model_copy(update={"word": "lan[/b]tern"})
    told = result.feedback[0].model_copy(update={"message": "You left out “[red]:smile:”."})
    written = io.StringIO()
    print_result(
        result.model_copy(
            update={"words": [first, *result.words[1:]], "feedback": [told, *result.feedback[1:]]}
        ),
        Console(file=written, width=150),
    )
    assert "lan[/b]tern" in written.getvalue()
    assert "You left out “[red]:smile:”." in written.getvalue()
