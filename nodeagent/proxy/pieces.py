"""The input of a command in pieces: it works on one while the next is made. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_LONGEST = 32 * 1024  # characters, roughly; every piece costs a turn of the event loop


def in_pieces(texts: Iterable[str]) -> Iterator[str]:
    """The texts, put together; the first pieces are short, for the command to begin at once."""
    piece: list[str] = []
    length, enough = 0, _LONGEST // 16
    for text in texts:
        piece.append(text)
        length += len(text)
        if length >= enough:
            yield "".join(piece)
            piece.clear()
            length, enough = 0, min(enough * 2, _LONGEST)
    if piece:
        yield "".join(piece)
