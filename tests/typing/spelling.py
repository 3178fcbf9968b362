"""One spelling for the types that different checkers print: `normal`.

Module prefixes go (`jax._src.basearray.Array` is `Array`), `Unknown` is `Any`, type parameters and their scopes go,
a default is `...`, a positional-only parameter has no name, and the members of a union are sorted. A callable is
`(x: int, *, n: int = ...) -> str`, whether it is printed as a function, a bound method or a type.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

SAME = {"Unknown": "Any", "NoReturn": "Never", "CoroutineType": "Coroutine"}
"""Names that mean the same, or are not worth telling apart."""

TOKEN = re.compile(
    r"""\s*(
        b?"(?:[^"\\]|\\.)*" | b?'(?:[^'\\]|\\.)*'   # strings
        | [^\W\d]\w*(?:\.\w+)*                       # names, with dots
        | [\d.]*\d[\w.]*                             # numbers
        | -> | \.\.\. | \*\* | .
    )""",
    re.VERBOSE,
)

FIRST = [
    (r"`-?\d+", ""),  # mypy numbers type variables
    (r"<class '([^']+)'>", r"type[\1]"),
    (r"<module '[^']*'>|Module\([^)]*\)|Module\[[\w.]+\]", "ModuleType"),
    (r"@\w+", ""),  # the scope of a type variable: `T@function`
    (r"\bParamSpec\((\w+)\)", r"**\1"),
    (r"\*(?:args: )?(\w+)\.args, \*\*(?:kwargs: )?\1\.kwargs", r"**\1"),
    (r"\*Any, \*\*Any\b", "..."),
]
"""What is rewritten before a type is read."""


class UnreadableType(ValueError):
    """A text that is no type in any spelling known here."""


class Spelled(NamedTuple):
    """A part of a type in the one spelling, and what it is: a union puts callables in parentheses."""

    text: str
    kind: Literal["callable", "union", "plain"] = "plain"


def normal(text: str) -> str:
    """A type in the one spelling; a text that is no type comes back with its spaces and quotes unified."""
    for pattern, replacement in FIRST:
        text = re.sub(pattern, replacement, text)
    try:
        return _Reader(text).whole().text
    except UnreadableType:
        return " ".join(text.replace("'", '"').split())


class _Reader:
    """Reads a type, from its tokens and by recursive descent."""

    def __init__(self, text: str) -> None:
        self.tokens = TOKEN.findall(text.strip())
        self.at = 0

    def whole(self) -> Spelled:
        """The type, with nothing behind it."""
        spelled = self.union()
        if self.next is not None:
            raise UnreadableType(self.next)
        return spelled

    @property
    def next(self) -> str | None:
        """The next token, if there is one."""
        return self.peek(0)

    def peek(self, ahead: int) -> str | None:
        """The token that far ahead."""
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else None

    def take(self, *wanted: str) -> str:
        """The next token, which must be one of those wanted, if any are named."""
        token = self.next
        if token is None or (wanted and token not in wanted):
            raise UnreadableType(f"{token} for {wanted}")
        self.at += 1
        return token

    def skip(self, token: str) -> bool:
        """Whether the next token was that one; it is taken."""
        if self.next != token:
            return False
        self.at += 1
        return True

    def skip_to(self, *closing: str) -> None:
        """Skip to the one of these tokens that is in no brackets; it is not taken."""
        depth = 0
        while self.next is not None and (depth or self.next not in closing):
            token = self.take()
            depth += (token in "([{") - (token in ")]}")

    def union(self) -> Spelled:
        """Members with `|` between them, each a type or an intersection of them."""
        members = [self.intersection()]
        while self.skip("|"):
            members.append(self.intersection())
        if len(members) == 1:
            return members[0]
        texts, literals = set[str](), set[str]()
        for text, kind in members:
            if text.startswith("Literal["):
                literals.add(text.removeprefix("Literal[").removesuffix("]"))
            elif kind == "union":
                texts.update(text.split(" | "))
            else:
                texts.add(f"({text})" if kind == "callable" else text)
        if literals:
            texts.add(f"Literal[{', '.join(sorted(literals))}]")
        return Spelled(" | ".join(sorted(texts, key=lambda text: (text == "None", text))), "union")

    def intersection(self) -> Spelled:
        """Members with `&` between them."""
        members = [self.member()]
        while self.skip("&"):
            members.append(self.member())
        return members[0] if len(members) == 1 else Spelled(" & ".join(sorted(member.text for member in members)))

    def member(self) -> Spelled:
        """A callable, something in parentheses, an overload, or a name with what it is given in brackets."""
        token = self.next
        if token == "def" or (token == "bound" and self.peek(1) == "method"):
            return self.function()
        if token == "[":
            return self.in_brackets()
        if token == "(":
            return self.in_parentheses()
        return self.named()

    def function(self) -> Spelled:
        """`def f[T](x: int) -> str`, `def (x: int)` or `bound method M.f(x: int) -> str`."""
        if self.take() == "bound":
            self.take("method")
        while self.next not in ("(", None):
            self.take()
            if self.next == "[":
                self.take()
                self.skip_to("]")
                self.take("]")
        return self.callable(self.parameters())

    def callable(self, parameters: list[str]) -> Spelled:
        """What is behind the parameters of a callable; mypy leaves out a `None`."""
        result = self.union().text if self._skip_arrow() else "None"
        return Spelled(f"({', '.join(parameters)}) -> {result}", "callable")

    def _skip_arrow(self) -> bool:
        return self.skip("->")

    def in_brackets(self) -> Spelled:
        """The type parameters of a callable, which go, or a list of parameters given to a generic class."""
        start = self.at
        self.take("[")
        self.skip_to("]")
        self.take("]")
        if self.next == "(":
            return self.callable(self.parameters())
        self.at = start
        return Spelled(f"({', '.join(self.parameters())})")

    def in_parentheses(self) -> Spelled:
        """The parameters of a callable, a list of parameters given to a generic class, or a type in parentheses."""
        start = self.at
        parameters = self.parameters()
        if self.next == "->":
            return self.callable(parameters)
        end, self.at = self.at, start + 1
        try:
            inner = self.union()
            self.take(")")
        except UnreadableType:
            inner = None
        is_list_given = start > 0 and self.tokens[start - 1] in ("[", ",")
        if inner is not None and self.at == end and (inner.kind != "plain" or not is_list_given):
            return inner
        self.at = end
        return Spelled(f"({', '.join(parameters)})")

    def parameters(self) -> list[str]:
        """Parameters, in parentheses or brackets."""
        closing = ")" if self.take("(", "[") == "(" else "]"
        shown: list[str] = []
        types: list[str] = []
        while not self.skip(closing):
            if self.next == "/" and self.peek(1) in (",", closing):
                self.take("/")
                shown = types[:]
            elif self.next == "*" and self.peek(1) in (",", closing):
                self.take("*")
                if not any(re.match(r"\*\w", parameter) for parameter in shown):
                    shown.append("*")
            else:
                parameter, type_alone = self.parameter(closing)
                shown.append(parameter)
                types.append(type_alone)
            if self.next != closing:
                self.take(",")
        return shown

    def parameter(self, closing: str) -> tuple[str, str]:
        """One parameter, and the same without its name."""
        stars = self.take() if self.next in ("*", "**") else ""
        name = ""
        if self.peek(1) == ":":
            name = f"{self.take()}: "
            self.take(":")
        hint = "..." if self.skip("...") else self.union().text
        default = ""
        if self.skip("="):
            self.skip_to(",", closing)
            default = " = ..."
        return f"{stars}{name}{hint}{default}", f"{stars}{hint}{default}"

    def named(self) -> Spelled:
        """A name without its module, a literal, or a name with types in brackets."""
        token = self.take()
        if token[-1] in "\"'":
            return Spelled('"' + token.removeprefix("b")[1:-1].replace('"', "'") + '"')
        if token in "-~":
            return Spelled(token + self.member().text)
        if not re.match(r"[\w.]", token):
            raise UnreadableType(token)
        name = token if token == "..." or not token[0].isidentifier() else token.rpartition(".")[2]
        name = SAME.get(name, name)
        if self.next == "[":
            given = self.given(may_be_lines=name == "Overload")
            if given and given[-1].startswith("fallback="):  # mypy's named tuples
                return Spelled(given[-1].removeprefix("fallback="))
            name = f"{name}[{', '.join(given)}]"
        elif self.next == "(" and name == "Overload":
            name = f"Overload[{', '.join(self.parameters())}]"
        self.skip("?")  # mypy's literals that are not kept
        return Spelled(name)

    def given(self, *, may_be_lines: bool = False) -> list[str]:
        """What a generic class is given; pyrefly shows overloads on lines of their own."""
        self.take("[")
        given: list[str] = []
        while not self.skip("]"):
            name = ""
            if self.next == "fallback" and self.peek(1) == "=":
                name = self.take() + self.take("=")
            given.append(name + self.union().text)
            if self.next != "]" and not may_be_lines:
                self.take(",")
            else:
                self.skip(",")
        return given
