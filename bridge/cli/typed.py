"""A command line as far as it is typed: which command it is, what was given, and what the last word is to be."""

from __future__ import annotations

import shlex

from bridge.cli.tree import Node, Option

__all__ = ["Typed", "named", "typed"]


class Typed:
    """A line, read word by word.

    Attributes:
        node: the command, or the group that is still without one.
        words: what was typed before the last word, without the program; `last` is that, maybe empty.
        arguments: how many of the words are arguments.
        given: the values of options, by their longest names; `seen` all names of those that were given.
        value_of: the option whose value the last word is.
        ended: whether no option of ours may follow.
    """

    def __init__(self, root: Node, words: list[str], last: str) -> None:
        """Take the commands, and the words behind the program's name."""
        self.node, self.words, self.last = root, words, last
        self.arguments = 0
        self.given: dict[str, str] = {}
        self.seen: set[str] = set()
        self.value_of: Option | None = None
        self.ended = False
        self.known = all(self._take(word) for word in words)

    def _take(self, word: str) -> bool:
        """Take one more word; tell whether it can be one."""
        if self.value_of is not None:
            self.given[self.value_of.names[0]] = word
            self.value_of = None
        elif word == "--" and not self.ended:
            self.ended = True
        elif word.startswith("-") and len(word) > 1 and not self.ended:
            self._take_option(word)
        elif self.node.commands:
            below = [each for each in self.node.commands if each.path[-1] == word]
            self.node = below[0] if below else self.node
            return bool(below)
        else:
            self.arguments += 1
            self.ended = self.ended or self.node.as_it_stands
        return True

    def _take_option(self, word: str) -> None:
        name, equals, value = word.partition("=")
        found = named(self.node, name)
        if found is None:
            return
        self.seen.update(found.names)
        if found.takes and equals:
            self.given[found.names[0]] = value
        elif found.takes:
            self.value_of = found


def typed(line: str, root: Node) -> Typed | None:
    """Return a line up to the cursor as it is read; None where it is not one that can be gone on with."""
    words = _words(line)
    if len(words) < 2:
        return None
    found = Typed(root, words[1:-1], words[-1])
    return found if found.known else None


def named(node: Node, name: str) -> Option | None:
    """Return the option of this name."""
    return next((each for each in node.options if name in each.names), None)


def _words(line: str) -> list[str]:
    """Return the words of a line; the last is the one that is being typed, maybe empty."""
    for closing in ("", '"', "'"):
        try:
            words = shlex.split(line + closing)
        except ValueError:
            continue
        between = not closing and line[-1:].isspace() and not line.endswith("\\ ")
        return [*words, ""] if between else words
    return []
