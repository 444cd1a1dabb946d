"""Writes random configuration files, and what Python makes of each, to standard output.

usage: python_config.py SEED WRITTEN MUTATED

WRITTEN files are put together from the values and statements that liveproxyd reads. MUTATED ones are such files
with some bytes changed; of these, only what still consists of such statements is executed (ok), everything else is
handed over as refused. One record a file:

    KIND RESULT LENGTH-OF-FILE LENGTH-OF-DUMP newline, the file, the dump

The dump has a line `NAME VALUE` for every name, in the form of liveproxyd's own dump of values.
"""

import ast
import pprint
import random
import struct
import sys
import warnings

# The names that liveproxyd defines before the first file.
PREDEFINED = ("sites", "liveproxyd_default_connection_params")
OPENERS = ("'", '"', "'''", '"""')
WORDS = ("muc", "socket", "tcp", "address", "heartbeat", "channels", "a", "", "x y")


def dump(value):
    """Types told apart, strings in hexadecimal, floats as bits, sets sorted, dictionaries in order."""
    kind = type(value)
    if value is None:
        return "none"
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return "i%d" % value
    if kind is float:
        return "f" + struct.pack(">d", value).hex()
    if kind is str:
        return "s" + value.encode("utf-8").hex()
    if kind is bytes:
        return "b" + value.hex()
    if kind is tuple or kind is list:
        return "(" + " ".join([kind.__name__] + [dump(item) for item in value]) + ")"
    if kind is set:
        return "(set " + " ".join(sorted(dump(item) for item in value)) + ")"
    if kind is dict:
        parts = [part for key, item in value.items() for part in (dump(key), dump(item))]
        return "(" + " ".join(["dict"] + parts) + ")"
    raise ValueError(kind)


def dump_names(names):
    lines = []
    for name, value in sorted(names.items()):
        if name.startswith("__") and name.endswith("__"):
            continue
        if not name.isidentifier():
            raise ValueError(name)
        try:
            lines.append("%s %s\n" % (name, dump(value)))
        except (ValueError, RecursionError, UnicodeEncodeError):
            lines.append("%s ?\n" % name)
    return "".join(lines).encode()


class Data:
    """Random values."""

    def __init__(self, rng):
        self.rng = rng

    def text(self):
        rng = self.rng
        if rng.random() < 0.4:
            return rng.choice(WORDS)
        pools = ("abcz AZ09_-./:", "'\"\\", "\n\t\r\0\x07\x1b\x7f", "äöüß\xa0\xad", "€漢字\u2028\ufeff", "😀𝔘", "{}[]()#=%;,")
        return "".join(rng.choice(rng.choice(pools)) for _ in range(rng.randrange(12)))

    def number(self):
        rng = self.rng
        return rng.choice((
            lambda: rng.randrange(-20, 100),
            lambda: rng.randrange(-(2**63), 2**63),
            lambda: rng.choice((2**63 - 1, -(2**63), 2**53 + 1, 0)),
            lambda: rng.random() * 10 ** rng.randrange(-30, 30),
            lambda: -rng.random(),
            lambda: rng.choice((0.0, -0.0, 1e16, 1e300, 5e-324, 0.1, 2.0**63)),
        ))()

    def constant(self):
        rng = self.rng
        return rng.choice((
            self.text, self.text, self.number, self.number,
            lambda: rng.choice((True, False, None)),
            lambda: bytes(rng.randrange(256) for _ in range(rng.randrange(6))),
        ))()

    def key(self, depth=2):
        if depth and self.rng.random() < 0.1:
            return tuple(self.key(depth - 1) for _ in range(self.rng.randrange(3)))
        return self.constant()

    def value(self, depth=4):
        rng = self.rng
        if depth == 0 or rng.random() < 0.35:
            return self.constant()
        size = rng.randrange(5)
        kind = rng.randrange(7)
        if kind < 3:
            return {self.key(): self.value(depth - 1) for _ in range(size)}
        if kind < 5:
            return [self.value(depth - 1) for _ in range(size)]
        if kind == 5:
            return tuple(self.value(depth - 1) for _ in range(size))
        items = [self.key() for _ in range(size + 1)]
        # Before 3.12 the place of None in a set differs from run to run, and a run could not be repeated.
        return {item for item in items if "None" not in repr(item)} or {None}


class Writer:
    """Writes values in all the ways that Python allows."""

    def __init__(self, rng):
        self.rng = rng
        # A backslash before a line end, or a comment, may stand in a line of its own only inside of brackets.
        self.depth = 0

    def blank(self):
        rng = self.rng
        if rng.random() < 0.8:
            return rng.choice(("", "", "", " "))
        inside = ("\n", " # comment ' \" {\n", "\n\n  ", "\r\n", "\t\n\t") if self.depth else ()
        return rng.choice(("  ", "\t", " \\\n ", " \x0c ") + inside)

    def write(self, value):
        rng = self.rng
        kind = type(value)
        if rng.random() < 0.05:
            self.depth += 1
            text = "(" + self.blank() + self.write(value) + self.blank() + ")"
            self.depth -= 1
            return text
        if kind is str:
            return self.joined([self.string(part) for part in self.parts(value)])
        if kind is bytes:
            return self.joined([self.bytes(part) for part in self.parts(value)])
        if kind is bool or value is None:
            return repr(value)
        if kind is int:
            return self.whole(value)
        if kind is float:
            return self.decimal(value)
        self.depth += 1
        text = self.container(value, kind)
        self.depth -= 1
        return text

    def container(self, value, kind):
        if kind is dict:
            items = [self.write(k) + self.blank() + ":" + self.blank() + self.write(v) for k, v in value.items()]
        else:
            items = [self.write(item) for item in value]
        opening, closing = {list: "[]", tuple: "()", set: "{}", dict: "{}"}[kind]
        text = opening + self.blank()
        text += ("," + self.blank()).join(item + self.blank() for item in items)
        if items and (self.rng.random() < 0.3 or kind is tuple and len(items) == 1):
            text += ","
        return text + self.blank() + closing

    def parts(self, value):
        if self.rng.random() < 0.8 or len(value) < 2:
            return [value]
        cut = self.rng.randrange(len(value))
        return [value[:cut], value[cut:]]

    def joined(self, literals):
        text = literals[0]
        for literal in literals[1:]:
            # Side by side, '' and 'a' would begin a triple quote.
            text += (self.blank() or " ") + literal
        return text

    def whole(self, value):
        rng = self.rng
        magnitude = abs(value)
        text = rng.choice((str, str, str, hex, oct, bin, lambda n: "%#X" % n, lambda n: format(n, "_d")))(magnitude)
        if rng.random() < 0.1 and text[:2] in ("0x", "0b", "0o"):
            text = text[:2] + "_" + text[2:]
        if value < 0:
            return "-" + rng.choice(("", "", " ")) + text
        return rng.choice(("", "", "", "", "+")) + text

    def decimal(self, value):
        text = repr(abs(value))
        if self.rng.random() < 0.2:
            text = text.replace("e", "E")
        if text.startswith("0.") and len(text) > 2 and self.rng.random() < 0.3:
            text = text[1:]
        elif text.endswith(".0") and self.rng.random() < 0.3:
            text = text[:-1]
        return ("-" if struct.pack(">d", value)[0] & 128 else "") + text

    def string(self, text):
        rng = self.rng
        quote = rng.choice(OPENERS)
        raw = text.isprintable() and "\\" not in text and quote[0] not in text
        if raw and rng.random() < 0.3:
            return rng.choice(("r", "R")) + quote + text + quote
        body = "".join(self.character(c, quote) for c in text)
        if rng.random() < 0.05:
            body += "\\\n"
        return rng.choice(("", "", "", "u", "U")) + quote + body + quote

    def character(self, c, quote):
        rng = self.rng
        code = ord(c)
        named = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", "'": "\\'", '"': '\\"', "\x07": "\\a"}
        if c == "\n" and len(quote) == 3 and rng.random() < 0.5:
            return c
        if c in named and (c in "\n\r\\" or c == quote[0] or rng.random() < 0.5):
            return named[c]
        if code == 0 or rng.random() < 0.15:
            ways = ["\\U%08x" % code]
            if code < 0x10000:
                ways.append("\\u%04X" % code)
            if code < 0x100:
                ways.append("\\x%02x" % code)
            if code < 0o1000:
                ways.append("\\%03o" % code)
            return rng.choice(ways)
        return c

    def bytes(self, value):
        rng = self.rng
        quote = rng.choice(OPENERS)
        body = ""
        for byte in value:
            c = chr(byte)
            if 32 <= byte < 127 and c not in "\\'\"" and rng.random() < 0.8:
                body += c
            else:
                body += rng.choice(("\\x%02x", "\\%03o")) % byte
        return rng.choice(("b", "B")) + quote + body + quote


class File:
    """One random file."""

    def __init__(self, rng):
        self.rng = rng
        self.data = Data(rng)
        self.writer = Writer(rng)
        # What each name is, as far as statements need to know it.
        self.kinds = {name: dict for name in PREDEFINED}

    def write(self):
        rng = self.rng
        lines = [rng.choice(("", "# Created by WATO\n# encoding: utf-8\n\n", "'''Text\nof two lines'''\n", "\ufeff"))]
        for _ in range(rng.randrange(1, 9)):
            lines.append(self.statement() + rng.choice(("\n", "\n", "\n", " # c\n", "; 'text'\n", ";\n", "\r\n", "\n\n \n")))
        text = "".join(lines)
        return text.encode() if rng.random() < 0.9 else text.rstrip().rstrip(";").encode()

    def literal(self, value):
        """repr, pprint, or anything that means the same."""
        rng = self.rng
        way = rng.randrange(4)
        if way == 0:
            return repr(value)
        width = rng.choice((1, 40, 80, 200))
        # pprint sorts what cannot be compared by its address in memory, which differs from run to run.
        if way == 1 and "(set " not in dump(value):
            return pprint.pformat(value, width=width, sort_dicts=False)
        return self.writer.write(value)

    def assigned(self, value):
        text = self.literal(value)
        # pprint joins long strings over several lines without brackets around them.
        return "(" + text + ")" if type(value) in (str, bytes) else text

    def new_name(self):
        return self.rng.choice(("sites", "x", "_a1", "liveproxyd_log_levels", "max_query", "B"))

    def known_dictionary(self):
        return self.rng.choice(sorted(name for name, kind in self.kinds.items() if kind is dict) or [None])

    def statement(self):
        rng = self.rng
        while True:
            way = rng.choice((self.assign, self.assign, self.scope, self.update, self.update, self.item, self.plain))
            text = way()
            if text:
                return text

    def plain(self):
        return self.rng.choice(("'a description'", "u'''two\nlines'''", "b'a' b'b'"))

    def assign(self):
        value = self.data.value()
        name = self.new_name()
        self.kinds[name] = type(value)
        text = self.assigned(value)
        if self.rng.random() < 0.1:
            self.kinds[name] = tuple
            text += self.rng.choice((",", ", 5", ", 5,"))
        return name + self.rng.choice((" = ", "=", " = \\\n", "\t=\t")) + text

    def scope(self):
        value = self.data.value()
        name = self.rng.choice(("sites", "x", "fresh"))
        scope = self.rng.choice(("locals", "globals"))
        self.kinds.setdefault(name, type(value))
        comma = self.rng.choice(("", "", ","))
        return "%s = %s().setdefault('%s', %s%s)" % (name, scope, name, self.literal(value), comma)

    def dictionary(self):
        return {self.data.key(): self.data.value(2) for _ in range(self.rng.randrange(4))}

    def update(self):
        name = self.known_dictionary()
        if not name:
            return None
        return "%s.update(%s%s)" % (name, self.argument(), self.rng.choice(("", "", ",", "\n")))

    def argument(self):
        value = self.dictionary()
        text = self.literal(value)
        # The argument of a call has no further brackets around it.
        return repr(value) if text.startswith("(") else text

    def item(self):
        name = self.known_dictionary()
        if not name:
            return None
        key = self.literal(self.data.key())
        way = self.rng.randrange(3)
        if way == 0:
            return "%s[%s] = %s" % (name, key, self.assigned(self.data.value(2)))
        text = "%s[%s] = %s; %s[%s]" % (name, key, self.literal(self.dictionary()), name, key)
        if way == 1:
            return "%s.update(%s)" % (text, self.argument())
        return "%s[%s] = %s" % (text, self.literal(self.data.key()), self.assigned(self.data.value(2)))


# What liveproxyd reads; nothing else of a mutated file is ever executed.
ALLOWED = (
    ast.Module, ast.Assign, ast.Expr, ast.Constant, ast.Tuple, ast.List, ast.Set, ast.Dict, ast.UnaryOp, ast.UAdd,
    ast.USub, ast.Name, ast.Subscript, ast.Attribute, ast.Call, ast.Load, ast.Store,
)
METHODS = ("update", "setdefault")


def is_harmless(tree):
    for node in ast.walk(tree):
        if not isinstance(node, ALLOWED):
            return False
        if isinstance(node, ast.Attribute) and node.attr not in METHODS:
            return False
        if isinstance(node, ast.Call) and not isinstance(node.func, ast.Attribute):
            if not isinstance(node.func, ast.Name) or node.func.id not in ("locals", "globals"):
                return False
    return True


def execute(text):
    """The dump of a file, or nothing when Python refuses it or it is more than data."""
    try:
        tree = ast.parse(text)
        if not is_harmless(tree):
            return None
        names = {name: {} for name in PREDEFINED}
        exec(compile(tree, "file", "exec"), names)
        return dump_names(names)
    except Exception:
        return None


def mutate(rng, text):
    text = bytearray(text)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(text) + 1)
        way = rng.randrange(7)
        if way == 0:
            del text[at:at + rng.choice((1, 1, 2, 10))]
        elif way == 1:
            text[at:at] = rng.choice((b"'", b'"', b"(", b"]", b"{", b"}", b",", b":", b"\n", b" ", b"\\", b"#", b"-", b"0",
                                      b"_", b"=", b"+", b"|", b".", b";", b"e", b"x", b"b", b"r", b"u", b"\r", b"\x0c",
                                      b"None", b"True", b"\xff", b"\0", b"sites", b"1e999", b"'''", b"()", b"[0]"))
        elif way == 2 and at < len(text):
            text[at] ^= 1 << rng.randrange(8)
        elif way == 3 and at < len(text):
            text[at] = rng.randrange(256)
        elif way == 4:
            del text[at:]
        elif way == 5:
            end = rng.randrange(len(text) + 1)
            text[at:at] = text[min(at, end):max(at, end)][:40]
        else:
            lines = bytes(text).split(b"\n")
            rng.shuffle(lines)
            text = bytearray(b"\n".join(lines))
    return bytes(text)


def main():
    warnings.simplefilter("ignore")
    seed, written, mutated = (int(argument) for argument in sys.argv[1:])
    rng = random.Random(seed)
    out = sys.stdout.buffer
    files = []

    def record(kind, text):
        result = execute(text)
        found = b"" if result is None else result
        word = "refused" if result is None else "ok"
        out.write(b"%s %s %d %d\n" % (kind.encode(), word.encode(), len(text), len(found)))
        out.write(text)
        out.write(found)

    for _ in range(written):
        files.append(File(rng).write())
        record("written", files[-1])
    for _ in range(mutated):
        record("mutated", mutate(rng, rng.choice(files)))


main()
