"""Checks what `[attach]` and the other tables say together: every contradiction, in a sentence each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.config.attach import PLACEHOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.config.attach import AttachSettings
    from pipeline.config.models import Settings

OWN_PLACEHOLDERS: Final = frozenset({"customer", "legacy_id"})
"""What a template may name beside the carried columns."""


def disagreements(settings: Settings, attach: AttachSettings, refused: set[str]) -> Iterator[str]:
    """Say where the tables contradict one another.

    Args:
        settings: What could be read.
        attach: Its table `[attach]`.
        refused: Places already reported; what they would have said is not known.
    """
    are_known = not {"vault", "vault.url", "attach", "attach.url"} & refused
    if are_known and attach.is_loopback != settings.vault.is_loopback:
        here, there = ("attach", "vault") if attach.is_loopback else ("vault", "attach")
        yield f"{here}.url: is on this machine, and {there}.url is not"
    columns = settings.export.columns
    needs = attach.without_customer == "reject" or columns.customer_id or columns.is_default
    if needs and columns.customer is None and not any(p.startswith("export") for p in refused):
        yield "export.columns.customer: names no column, and [attach] groups cards by it"
    known = OWN_PLACEHOLDERS.union(settings.export.carry)
    if any(name not in known for text in attach.templates for name in PLACEHOLDER.findall(text)):
        yield (
            "attach.metadata or attach.description: names something in braces that is neither"
            " customer, legacy_id nor a carried column"
        )
