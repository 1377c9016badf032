"""The words of the text form, and what graphs and specs have in common: sizes, types, and the bounds of symbols.

In: text. Out: a `Scanner`, which reads it token by token and knows where it stands, so that every error can say line,
column, what was found and what was expected.

    sizes:    n    2*n + 1    (n // 2)    (n % 8)    min(n, 16)
    types:    f32[n,10]    f32[]    (f32[2], i64[2])
    symbols:  where n in 1..64, m in 0..       (no upper number: no upper bound)
"""

from __future__ import annotations

import itertools
import keyword
import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from graphc.ir.dim import MAX_SIZE, Dim, Size, SizeSyntaxError, read_size, symbol
from graphc.ir.dtype import DTYPES, DType, dtype
from graphc.ir.errors import DTypeError, ParseError, nearest
from graphc.ir.type import Shape, TensorType, TupleType, Type

MAX_NESTING: Final = 32
"""How deep tuples, parentheses and the bodies of nodes may nest in a text."""

MAX_INTEGER: Final = 2**128
"""Bound of the magnitude of integers in a text."""

_MAX_LENGTH: Final = 4096
"""Most characters of one size; the time to simplify one grows faster than its length."""

_DTYPE_NAMES: Final = {d.short: d for d in DTYPES}
_RESERVED: Final = frozenset({"true", "false", "none", "inf", "nan", "min", "max", "dense", "graph", "where"})

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+)
      | (?P<comment>\#[^\n]*)
      | (?P<value>%(?:[\w.]+|"(?:[^"\\\n]|\\.)*")(?:@[0-9]+)?)
      | (?P<string>"(?:[^"\\\n]|\\.)*")
      | (?P<float>[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)
      | (?P<int>[0-9]+(?![\w]))
      | (?P<name>[A-Za-z_]\w*(?:\.\w+)*)
      | (?P<sign>//|\.\.|[-+*%(){}\[\]<>,:=])
      | (?P<bad>.)""",
    re.VERBOSE | re.ASCII | re.DOTALL,
)
_WORD: Final = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*", re.ASCII)
_ESCAPE: Final = re.compile(r'\\(?:([nrt"\\])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))|\\')
_LETTERS: Final = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_ESCAPED: Final = {character: "\\" + letter for letter, character in _LETTERS.items()}


class Token(NamedTuple):
    """A word of the text, its kind (a group of the pattern, or "end") and where it begins."""

    kind: str
    text: str
    offset: int


def is_symbol_name(name: str) -> bool:
    """Whether a symbol may have this name: an ASCII identifier that means nothing else in the text form."""
    plain = name.isascii() and name.isidentifier() and not keyword.iskeyword(name)
    return plain and name not in _RESERVED and name not in _DTYPE_NAMES


def is_dtype_name(name: str) -> bool:
    """Whether the name is a dtype's short one, which texts use."""
    return name in _DTYPE_NAMES


def word(text: str) -> str:
    """The text as one word: as it is where that is a word already, else quoted."""
    return text if _WORD.fullmatch(text) else quote(text)


def quote(text: str) -> str:
    """The text in double quotes, with everything escaped that can't be seen or would end it."""
    return '"' + "".join(_ESCAPED.get(c) or (c if c.isprintable() else _escape(c)) for c in text) + '"'


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class Scanner:
    """A text read from left to right. `symbols` are the sizes known by name."""

    def __init__(self, text: str, symbols: Mapping[str, Size] | None = None) -> None:
        self.text = text
        self.symbols: dict[str, Size] = dict(symbols or {})
        self.declares = False
        """Whether a size of an unknown name is a new symbol."""
        self.tokens: list[Token] = []
        self.comments: dict[int, str] = {}
        """The comment that follows on the same line, by the index of the token before it."""
        self.closing: dict[int, int] = {}
        """The index of the parenthesis that closes the one at an index."""
        self.position = 0
        self._split()

    def _split(self) -> None:
        opened: list[int] = []
        same_line = False
        offset = 0
        while offset < len(self.text):
            match = _TOKEN.match(self.text, offset)
            assert match is not None, "the pattern takes any character"
            assert match.lastgroup is not None, "each alternative has a name"
            kind, end = match.lastgroup, match.end()
            text = self.text[offset:end]
            if kind == "space":
                same_line = same_line and "\n" not in text
            elif kind == "comment":
                if same_line:
                    self.comments[len(self.tokens) - 1] = text
            else:
                if text == "(":
                    opened.append(len(self.tokens))
                elif text == ")" and opened:
                    self.closing[opened.pop()] = len(self.tokens)
                self.tokens.append(Token(kind, text, offset))
                same_line = True
            offset = end
        self.tokens.append(Token("end", "", len(self.text)))

    @property
    def token(self) -> Token:
        """The next token."""
        return self.tokens[self.position]

    def take(self) -> Token:
        """The next token, which is then behind us; the end stays ahead."""
        token = self.tokens[self.position]
        if token.kind != "end":
            self.position += 1
        return token

    def at(self, *texts: str) -> bool:
        """Whether the next token is one of these words or signs."""
        token = self.tokens[self.position]
        return token.text in texts and token.kind in ("name", "sign")

    def accept(self, text: str) -> bool:
        """Take the next token if it is this one."""
        if self.at(text):
            self.position += 1
            return True
        return False

    def expect(self, text: str) -> Token:
        """Take the next token, which must be this one."""
        if not self.at(text):
            raise self.unexpected(f"'{text}'")
        return self.take()

    def unexpected(self, expected: str) -> ParseError:
        """The error that something else should stand here."""
        token = self.token
        if token.kind == "bad":
            found = "a quote that isn't closed" if token.text == '"' else f"the character {token.text!r}"
        else:
            found = "the end of the text" if token.kind == "end" else _cut(token.text)
        return self.error(f"expected {expected}, found {found}")

    def error(self, message: str, at: Token | None = None, hint: str | None = None) -> ParseError:
        """The error, with the line and column of the token (the next one unless given), and the line itself."""
        offset = (at or self.token).offset
        line = self.text.count("\n", 0, offset) + 1
        start = self.text.rfind("\n", 0, offset) + 1
        column = offset - start + 1
        end = self.text.find("\n", offset)
        shown_from = max(start, offset - 80)
        shown = self.text[shown_from : min(len(self.text) if end < 0 else end, offset + 40)]
        # What can't be seen would move the mark, or the terminal's cursor.
        shown = "".join(c if c.isprintable() else " " for c in shown)
        text = f"{line}:{column}: {message}\n  {shown}\n  {' ' * (offset - shown_from)}^"
        error = ParseError(text, hint=hint)
        error.line, error.column = line, column
        return error

    def suggest(self, name: str, known: Iterable[str]) -> str | None:
        """A hint that names what is close to a wrong name, if anything is."""
        close = nearest(name, known)
        return None if close is None else f"did you mean {close!r}?"

    def string(self) -> str:
        """A quoted string."""
        if self.token.kind != "string":
            raise self.unexpected("a quoted string")
        return self.unquote(self.take())

    def unquote(self, token: Token, start: int = 0) -> str:
        """The characters that the quoted part of a token, from `start` on, stands for."""

        def character(match: re.Match[str]) -> str:
            letter, *codes = match.groups()
            if letter is not None:
                return _LETTERS[letter]
            code = next((int(c, 16) for c in codes if c is not None), None)
            if code is None or code > 0x10FFFF:
                raise self.error(f"{match.group()!r} is no escape in a string", token)
            return chr(code)

        return _ESCAPE.sub(character, token.text[start + 1 : token.text.rindex('"')])

    def name(self, what: str) -> str:
        """A bare or quoted name."""
        if self.token.kind == "string":
            return self.string()
        if self.token.kind != "name":
            raise self.unexpected(what)
        return self.take().text

    def integer(self) -> int:
        """A non-negative integer."""
        if self.token.kind != "int":
            raise self.unexpected("a number")
        token = self.take()
        if len(token.text) > 39 or int(token.text) >= MAX_INTEGER:
            raise self.error("the number is beyond 128 bits", token)
        return int(token.text)

    def size(self) -> Size:
        """A size: an expression of integers and symbols, on one line."""
        token = self.token
        if token.kind not in ("int", "name") and not self.at("(", "-"):
            raise self.unexpected("a size")
        start = token.offset
        try:
            size, length = read_size(self.text[start : start + _MAX_LENGTH], 0, self.symbols)
        except SizeSyntaxError as error:
            raise self._size_error(str(error), start + error.position) from None
        if length == _MAX_LENGTH:
            raise self.error(f"the size is longer than {_MAX_LENGTH} characters", token)
        while self.token.offset < start + length:
            self.position += 1
        terms = size.terms if isinstance(size, Dim) else (((), size),)
        if any(abs(coefficient) >= MAX_INTEGER for _, coefficient in terms):
            raise self.error("the size is beyond 128 bits", token)
        return size

    def _size_error(self, message: str, offset: int) -> ParseError:
        at = next(token for token in self.tokens[self.position :] if token.offset >= offset or token.kind == "end")
        if at.kind != "name" or at.text in self.symbols:
            return self.error(message, at)
        if not is_symbol_name(at.text):
            return self._bad_name(at, at.text)
        hint = self.suggest(at.text, self.symbols) or "the sizes in the shapes of the inputs are known here"
        return self.error(f"the size {at.text!r} is not known", at, hint)

    def dtype(self) -> DType:
        """An element type, by its short or its full name."""
        token = self.token
        if token.kind != "name":
            raise self.unexpected("a dtype such as f32")
        self.take()
        try:
            return dtype(token.text)
        except DTypeError as error:
            raise self.error(f"{token.text!r} is no dtype", token, error.hint) from None

    def tensor_type(self) -> TensorType:
        """A tensor type such as f32[n,10]."""
        element = self.dtype()
        return TensorType(self.shape(), element)

    def shape(self) -> Shape:
        """Sizes in brackets."""
        if self.at("[") and self.declares:
            self._declare_names()
        self.expect("[")
        sizes: list[Size] = []
        while not self.accept("]"):
            if sizes and not self.accept(","):
                raise self.unexpected("',' or ']'")
            token = self.token
            size = self.size()
            if isinstance(size, int) and size < 0:
                raise self.error(f"the size {size} is negative", token)
            sizes.append(size)
        return tuple(sizes)

    def _declare_names(self) -> None:
        """Make symbols of the unknown names in the brackets that open here."""
        for token in itertools.islice(self.tokens, self.position + 1, None):
            if token.text == "]" or token.kind not in ("int", "name", "sign", "value"):
                return
            name = token.text[1:] if token.kind == "value" else token.text  # n%m is a remainder here
            if name not in self.symbols and is_symbol_name(name):
                self.symbols[name] = symbol(name)

    def type(self) -> Type:
        """The type of a value: of a tensor, or of a tuple of them."""
        if not self.accept("("):
            return self.tensor_type()
        elements: list[TensorType] = []
        while not self.accept(")"):
            if elements and not self.accept(","):
                raise self.unexpected("',' or ')'")
            elements.append(self.tensor_type())
        return TupleType(tuple(elements))

    def declarations(self) -> None:
        """The symbols and bounds that follow `where`; they are known from here on."""
        self.expect("where")
        while True:
            token = self.token
            if token.kind != "name":
                raise self.unexpected("the name of a size")
            if not is_symbol_name(token.text):
                raise self._bad_name(token, token.text)
            self.take()
            self.expect("in")
            lower_at = self.token
            lower = self.integer()
            self.expect("..")
            upper = self.integer() if self.token.kind == "int" else MAX_SIZE
            if lower > upper:
                raise self.error(f"no size is in {lower}..{upper}", lower_at)
            if token.text in self.symbols and self.symbols[token.text] != symbol(token.text, lower, upper):
                raise self.error(f"the size {token.text!r} has two ranges", token)
            self.symbols[token.text] = symbol(token.text, lower, upper)
            if not self.accept(","):
                return

    def _bad_name(self, token: Token, name: str) -> ParseError:
        return self.error(f"a size can't be called {name!r}", token, "choose a name that means nothing else")


def declare(found: str, lower: int, upper: Size) -> str:
    """The declaration of a symbol as `Scanner.declarations` reads it."""
    return f"{found} in {lower}.." + ("" if upper == MAX_SIZE else str(upper))


def _cut(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
