"""YAML text as plain values, with the place of each in the file.

PyYAML's nodes are turned into values here rather than by its constructors, because those forget where a value
stood, let a key be given twice, make dates and sexagesimal numbers of text, and expand aliases without bound.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from streamd.configscalars import PREFIX, scalar_value
from streamd.errors import ConfigError, ConfigProblem

MAX_DEPTH = 24
"""Levels of nesting; a configuration has five."""
MAX_VALUES = 50_000
"""Values after aliases are expanded."""
_COLLECTIONS = (PREFIX + "map", PREFIX + "seq")

KeyPath = tuple[str, ...]
"""Keys from the top of a file to a value in it."""
Expand = Callable[[str], str]
"""Replaces the ``${...}`` in a text; raises SubstitutionError."""


class SubstitutionError(ValueError):
    """An expression in a text that has no value. ``expression`` is the part of the text to point at."""

    def __init__(self, expression: str, message: str) -> None:
        super().__init__(message)
        self.expression = expression


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key stands; line and column count from 1."""

    line: int
    column: int
    text: str = ""
    """The value as written, before substitution: the only form that a message may show."""


@dataclass(slots=True)
class Tree:
    """A document: its values, where each stands, and what was wrong with the text itself."""

    file: str
    value: dict[str, Any] = field(default_factory=dict)
    places: dict[KeyPath, Place] = field(default_factory=dict)
    problems: list[ConfigProblem] = field(default_factory=list)
    spoilt: set[KeyPath] = field(default_factory=set)
    """Values that already have a problem; what validation says of them would only repeat it."""


class _Loader(yaml.SafeLoader):
    """Composes nodes, with a bound on the nesting."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, f"nested more than {MAX_DEPTH} levels deep", mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def parse(text: str, *, file: str, expand: Expand) -> Tree:
    """Read one YAML document whose top level is a mapping.

    Raises:
        ConfigError: the text is not YAML, so that there is nothing to go on with. Lesser problems are
            collected in the tree.
    """
    root = _compose(text, file)
    if root is None:
        _refuse(file, 1, 1, "the file is empty; 'version: 1' alone takes every default")
    if not isinstance(root, yaml.MappingNode):
        found = "a list" if isinstance(root, yaml.SequenceNode) else "a single value"
        _refuse(file, *_position(root), f"the file should hold 'key: value' lines, not {found}")
    return _Builder(text, Tree(file), expand).build(root)


def _compose(text: str, file: str) -> yaml.Node | None:
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        _refuse(file, line, column, f"a character that YAML forbids: U+{ord(text[error.position]):04X}")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        _refuse(file, line, column, _syntax_message(error))
    except (ValueError, RecursionError) as error:  # `!!int` of nothing, an escape beyond Unicode
        _refuse(file, 0, 0, f"not YAML: {str(error)[:80]}")


def _syntax_message(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "cannot be read"
    if "'\\t'" in problem:
        return "a tab; YAML is indented with spaces"
    if "another document" in problem or "single document" in (error.context or ""):
        return "a second document begins here; a file holds one"
    if "could not find expected ':'" in problem:
        return "not YAML: a ':' is missing after a key, or a value spans lines without quotes"
    if "mapping values are not allowed" in problem:
        return "not YAML: a ':' where no key can be (wrong indentation, or text that needs quotes)"
    return f"not YAML: {problem}"


def _refuse(file: str, line: int, column: int, message: str) -> NoReturn:
    raise ConfigError([ConfigProblem(file, line, column, "", message)])


def _position(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


class _Builder:
    def __init__(self, text: str, tree: Tree, expand: Expand) -> None:
        self._lines = text.splitlines()
        self._tree = tree
        self._expand = expand
        self._count = 0

    def build(self, root: yaml.MappingNode) -> Tree:
        self._tree.value = self._mapping(root, ())
        return self._tree

    def _value(self, node: yaml.Node, path: KeyPath) -> Any:
        self._count += 1
        if self._count > MAX_VALUES or len(path) > MAX_DEPTH:
            _refuse(self._tree.file, *_position(node), "aliases that expand without end, or far too many values")
        if not isinstance(node, yaml.ScalarNode) and node.tag not in _COLLECTIONS:
            self._problem(path, node, f"the tag {node.tag!r} is not understood")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._item(item, (*path, str(i))) for i, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _item(self, node: yaml.Node, path: KeyPath) -> Any:
        self._remember(path, node, node)
        return self._value(node, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        own: dict[str, Any] = {}
        first: dict[str, int] = {}
        merged: list[yaml.Node] = []
        for key, value in node.value:
            if key.tag == PREFIX + "merge":
                merged.append(value)
            elif not isinstance(key, yaml.ScalarNode):
                self._problem(path, key, "a key should be text, not a list or a mapping")
            elif key.value in first:
                again = f"given twice (first in line {first[key.value]}); keep one"
                self._problem((*path, key.value), key, again)
            else:
                first[key.value] = key.start_mark.line + 1
                self._remember((*path, key.value), key, value)
                own[key.value] = self._value(value, (*path, key.value))
        for source in merged:
            self._merge(source, own, path)
        return own

    def _merge(self, source: yaml.Node, into: dict[str, Any], path: KeyPath) -> None:
        """``<<``: what ``into`` already has wins."""
        if isinstance(source, yaml.SequenceNode):
            for one in source.value:
                self._merge(one, into, path)
        elif isinstance(source, yaml.MappingNode):
            theirs, known = Tree(self._tree.file), self._tree
            self._tree = theirs  # places of keys that lose must not overwrite those of keys that win
            try:
                values = self._value(source, path)
            finally:
                self._tree = known
            self._adopt(theirs, {k: v for k, v in values.items() if k not in into}, into, path)
        else:
            self._problem(path, source, "'<<' should be given a mapping (*name)")

    def _adopt(self, theirs: Tree, values: dict[str, Any], into: dict[str, Any], path: KeyPath) -> None:
        depth = len(path)
        into.update(values)
        kept = {p for p in theirs.places if p[depth] in values}
        self._tree.places.update({p: theirs.places[p] for p in kept})
        self._tree.spoilt.update(p for p in theirs.spoilt if p in kept)
        # A problem inside an anchor is reported where the anchor stands, or here if it has no other home.
        self._tree.problems.extend(theirs.problems)

    def _scalar(self, node: yaml.Node, path: KeyPath) -> Any:
        text: str = node.value
        try:
            return scalar_value(node.tag, text, self._expand)
        except SubstitutionError as error:
            self._problem(path, node, str(error), at=self._find(error.expression, node))
        except ValueError as error:
            self._problem(path, node, str(error))
        return text

    def _find(self, expression: str, node: yaml.Node) -> tuple[int, int]:
        """Where ``expression`` stands between the node's marks."""
        start, end = node.start_mark, node.end_mark
        for line in range(start.line, min(end.line, len(self._lines) - 1) + 1):
            column = self._lines[line].find(expression, start.column if line == start.line else 0)
            if column >= 0:
                return line + 1, column + 1
        return _position(node)

    def _remember(self, path: KeyPath, key: yaml.Node, value: yaml.Node) -> None:
        text = value.value if isinstance(value, yaml.ScalarNode) else ""
        self._tree.places[path] = Place(*_position(key), text)

    def _problem(self, path: KeyPath, node: yaml.Node, message: str, *, at: tuple[int, int] | None = None) -> None:
        line, column = at or _position(node)
        self._tree.problems.append(ConfigProblem(self._tree.file, line, column, ".".join(path), message))
        self._tree.spoilt.add(path)
