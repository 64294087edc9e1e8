"""Errors that a user can cause. Each is one message: what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user gave is wrong. The command line prints it and exits with code 2.

    `what` is a sentence; `where` names the file, key or line; `fix` says what to do.
    """

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        self.what, self.where, self.fix = what, where, fix
        super().__init__(str(self))

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}\n  {self.fix}" if self.fix else head

    def __reduce__(self):
        # Exceptions cross process borders by pickling, which passes positional arguments alone.
        return (_rebuild, (type(self), self.what, self.where, self.fix))


class StorageError(UserError):
    """The operating system will not read or write: the disk is full, or permission is denied.

    No other task of a study would fare better, so a study ends with it.
    """


def _rebuild(kind: type[UserError], what: str, where: str | None, fix: str | None) -> UserError:
    return kind(what, where=where, fix=fix)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word closest in spelling, or None when none is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return close[0] if close else None


def unknown(kind: str, word: str, known: Iterable[str], *, where: str | None = None) -> UserError:
    """The error for a name that does not exist, with the nearest one that does."""
    names = sorted(known)
    guess = nearest(word, names)
    listing = ", ".join(names)
    fix = f"Did you mean '{guess}'? Known: {listing}." if guess else f"Known: {listing}."
    return UserError(f"unknown {kind} '{word}'.", where=where, fix=fix)
