"""XML as a tree that knows where each element stands, since the vendor's complaints name line and column."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

NAMESPACE = "http://soap.sforce.com/2006/04/metadata"


class XmlError(ValueError):
    """What is no document of the Metadata API."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


@dataclass(kw_only=True, slots=True, eq=False)
class Node:
    """One element."""

    name: str
    """Without the namespace, which is always the Metadata API's."""
    line: int
    column: int
    text: str = ""
    children: list[Node] = field(default_factory=list)

    def all(self, name: str) -> Iterator[Node]:
        """The children of that name."""
        return (child for child in self.children if child.name == name)

    def find(self, name: str) -> Node | None:
        """The first child of that name."""
        return next(self.all(name), None)

    def get(self, name: str, default: str = "") -> str:
        """The text of the first child of that name."""
        child = self.find(name)
        return default if child is None else child.text

    def flag(self, name: str) -> bool:
        """Whether the child of that name says true."""
        return self.get(name).lower() == "true"

    def number(self, name: str) -> int | None:
        """The child's text as a whole number, None where there is none."""
        text = self.get(name)
        return int(text) if text.isdigit() else None

    def walk(self) -> Iterator[Node]:
        """The element and everything below it."""
        yield self
        for child in self.children:
            yield from child.walk()

    def shape(self) -> tuple[object, ...]:
        """What it says, wherever it stands: two of one shape are one and the same component."""
        return (self.text, *((child.name, child.shape()) for child in self.children))


def parse(content: bytes) -> Node:
    """The document. Raises XmlError; a document type is refused, and with it every expansion of entities."""
    parser = expat.ParserCreate(namespace_separator=" ")
    stack: list[Node] = []
    roots: list[Node] = []
    parts: list[list[str]] = []

    def refuse(*_: object) -> None:
        raise XmlError("DOCTYPE is not allowed", parser.CurrentLineNumber, parser.CurrentColumnNumber + 1)

    def start(name: str, _attributes: dict[str, str]) -> None:
        line, column = parser.CurrentLineNumber, parser.CurrentColumnNumber + 1
        space, _, local = name.rpartition(" ")
        if space != NAMESPACE:
            raise XmlError(f"Element {local} is not in the namespace {NAMESPACE}", line, column)
        node = Node(name=local, line=line, column=column)
        (stack[-1].children if stack else roots).append(node)
        stack.append(node)
        parts.append([])

    def end(_name: str) -> None:
        node, text = stack.pop(), "".join(parts.pop())
        # Between elements there is only layout; what a leaf says may begin and end with a line.
        node.text = "" if node.children else text.strip()

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = lambda data: parts[-1].append(data) if parts else None
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise XmlError(f"Error parsing file: {expat.ErrorString(error.code)}", error.lineno, error.offset + 1) from None
    return roots[0]
