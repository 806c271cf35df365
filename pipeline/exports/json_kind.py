"""Finds out whether a list or a map stands at a path of a JSON document, while the document comes."""

from __future__ import annotations

from typing import Any

import ijson


class KindAt:
    """Finds out whether a list or a map stands at a path: the first that has a member.

    Args:
        path: The keys that lead there, with dots.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._events: list[tuple[str, str, Any]] = ijson.sendable_list()
        self._parser = ijson.parse_coro(self._events)
        self._has_begun = False
        self.is_list: bool | None = None
        """None until it is known, and always where there is neither."""

    def look(self, rest: bytes | None) -> None:
        """Read on in what is left of a document, None at its end, until it is known."""
        if not rest or self.is_list is not None:
            return
        self._parser.send(rest)
        for path, event, _ in self._events:
            if path == self._path and event == "map_key":
                self.is_list = False
                break
            if self._has_begun and not (path == self._path and event == "end_array"):
                self.is_list = True
                break
            self._has_begun = path == self._path and event == "start_array"
        del self._events[:]
