"""Who names whom in Rust sources: what a file's paths lead to, found without a compiler.

A path is a tuple of names from the crate's root: `super::name::Key` in src/fs/dir.rs is ('fs', 'name', 'Key').
Macros are not expanded, and a name that a function imports is taken for one of its whole module.
"""

import re
from typing import NamedTuple

LITERAL = re.compile(
    r"""
      //[^\n]*                                   # line comment
    | (?P<block>/\*)                             # block comment, which may nest
    | \b(?:br|cr|r)(?P<hashes>\#*)"              # raw string
    | \b(?:b|c)?"(?:[^"\\]|\\.)*"                # string
    | "(?:[^"\\]|\\.)*"
    | b?'(?:[^'\\\n]|\\(?:[^u]|u\{[^}]*\}|x..))'   # character; a lifetime has no closing quote
    """,
    re.VERBOSE | re.DOTALL,
)
TOKEN = re.compile(r'[A-Za-z_]\w*|::|[^\s\w]')
WORD = re.compile(r'[A-Za-z_]\w*')
TESTS = re.compile(r'#\s*\[\s*cfg\s*\(\s*(?:test|all\s*\(\s*test\b[^\]]*)\s*\)\s*\]|\bmod\s+tests\b')
VISIBILITY = r'(?:pub(?:\s*\([^)]*\))?\s+)?'
# How items begin that end at a semicolon, even behind a brace; and those that end at either.
TO_SEMICOLON = re.compile(VISIBILITY + r'(?:use|static|type|let|const(?!\s+(?:(?:unsafe|extern)\s+)?fn))\b')
TO_BRACE = re.compile(VISIBILITY + r'(?:mod|fn|impl|struct|enum|union|trait|unsafe|async|extern|const|macro_rules)\b')
ROOT = '::'  # begins the path of an external crate
KEYWORDS = ('crate', 'super', 'self')


def blank(text):
    """The same number of characters and lines, with nothing left to match."""
    return re.sub(r'[^\n]', ' ', text)


def code_only(source):
    """Rust source with comments and literals blanked out, line numbers unchanged."""
    out, at = [], 0
    while match := LITERAL.search(source, at):
        end = match.end()
        if match['block']:
            depth = 1
            while depth and (mark := re.compile(r'/\*|\*/').search(source, end)):
                depth += 1 if mark.group() == '/*' else -1
                end = mark.end()
            if depth:
                end = len(source)
        elif match['hashes'] is not None:
            close = source.find('"' + match['hashes'], end)
            end = len(source) if close < 0 else close + 1 + len(match['hashes'])
        out += source[at : match.start()], blank(source[match.start() : end])
        at = end
    return ''.join(out) + source[at:]


def end_of_item(code, at):
    """Where the item, field or arm ends that begins at `at`, behind attributes of its own."""
    while attribute := re.compile(r'\s*#\s*\[[^\]]*\]').match(code, at):
        at = attribute.end()
    at += len(code[at:]) - len(code[at:].lstrip())
    to_semicolon = TO_SEMICOLON.match(code, at)
    is_item = to_semicolon or TO_BRACE.match(code, at)
    depth = 0
    for mark in re.compile(r'[][(){};,]').finditer(code, at):
        if mark.group() in '([{':
            depth += 1
        elif mark.group() in ')]}':
            depth -= 1
            if depth < 0:
                return mark.start()
            if depth == 0 and mark.group() == '}' and not to_semicolon:
                return mark.end()
        elif depth == 0 and (mark.group() == ';' or not is_item):
            return mark.end()
    return len(code)


def without_tests(code):
    """Code without what is compiled for tests only, line numbers unchanged."""
    at = 0
    while match := TESTS.search(code, at):
        begin = match.end() if match.group().startswith('#') else match.start()
        at = end_of_item(code, begin)
        code = code[: match.start()] + blank(code[match.start() : at]) + code[at:]
    return code


def module_of(path):
    """The module path of a file, given relative to src/."""
    parts = list(path.with_suffix('').parts)
    if parts[-1] in ('mod', 'lib', 'main'):
        parts.pop()
    return tuple(parts)


class Mention(NamedTuple):
    """A path as it is written."""

    line: int
    here: tuple  # the module that it is written in
    words: list
    bound: str | None  # the name that a `use` or `mod` gives it
    is_declaration: bool  # `mod x;`


def use_tree(words, at, before):
    """Yields (index, path, bound name) for each branch of the use tree at `at`; returns the index behind it."""
    path, begin = list(before), at
    while at < len(words):
        word = words[at]
        at += 1
        if word == '::':
            if not path:
                path.append(ROOT)
        elif word == '{':
            while at < len(words) and words[at] != '}':
                at = yield from use_tree(words, at, path)
                at += words[at : at + 1] == [',']
            return at + 1
        elif word == '*':
            yield begin, path, None
            return at
        else:
            path.append(word)
            if words[at : at + 1] == ['::']:
                continue
            if word == 'self' and len(path) > 1:
                path.pop()
            bound = path[-1]
            if words[at : at + 1] == ['as']:
                bound, at = words[at + 1], at + 2
            yield begin, path, bound
            return at
    return at


def mentions(code, module):
    """Yields each `use`, each `mod x;` and each path of more than one name that is in `code`."""
    tokens = [(m.group(), m.start()) for m in TOKEN.finditer(code)]
    words = [word for word, _ in tokens]
    # One entry for each open brace: the name of the inline module that it opens, or None.
    braces = []
    line, seen = 1, 0
    at = 0
    while at < len(words):
        word, begin = words[at], at
        line, seen = line + code.count('\n', seen, tokens[at][1]), tokens[at][1]
        here = tuple(module) + tuple(name for name in braces if name)
        before, following = words[at - 1 : at], words[at + 1 : at + 2]
        at += 1
        if word == '{':
            braces.append(words[begin - 1] if begin > 1 and words[begin - 2] == 'mod' else None)
        elif word == '}':
            del braces[-1:]
        elif word == 'use' and following != ['<']:
            branches, walk = [], use_tree(words, at, [])
            try:
                while True:
                    branches.append(next(walk))
            except StopIteration as end:
                at = end.value
            for index, path, bound in branches:
                yield Mention(line + code.count('\n', seen, tokens[index][1]), here, path, bound, False)
        elif word == 'mod' and words[at + 1 : at + 2] == [';']:
            yield Mention(line, here, ['self', words[at]], words[at], True)
        elif word == 'in' and words[begin - 2 : begin] == ['pub', '(']:
            while words[at : at + 1] not in ([')'], []):
                at += 1
        elif WORD.fullmatch(word) and following == ['::'] and before not in (['::'], ['.']):
            path = [word]
            while words[at : at + 1] == ['::'] and at + 1 < len(words) and WORD.fullmatch(words[at + 1]):
                path.append(words[at + 1])
                at += 2
            yield Mention(line, here, path, None, False)


def from_root(here, words):
    """The path of `words` from the crate's root, or None if it does not begin with crate, super or self."""
    if not words or words[0] not in KEYWORDS:
        return None
    base = () if words[0] == 'crate' else here[:-1] if words[0] == 'super' else here
    rest = list(words[1:])
    while rest[:1] == ['super']:
        base, rest = base[:-1], rest[1:]
    return base + tuple(rest)


def named_rooms(code, module):
    """Yields (line, room) for each path in `code` that begins at the crate's root."""
    for mention in mentions(code, module):
        path = None if mention.is_declaration else from_root(mention.here, mention.words)
        if path:
            yield mention.line, path[0]


def named_paths(code, module):
    """Yields (line, path) for each path in `code` that leads into the crate, also by an imported name."""
    found = list(mentions(code, module))
    # Declarations last: no other name can stand for a module that is declared here.
    names = {(m.here, m.bound): m.words for m in sorted(found, key=lambda m: m.is_declaration) if m.bound}

    def resolve(here, words):
        for _ in range(8):  # names that stand for names; a circle of them does not compile
            path = from_root(here, words)
            if path is not None:
                return path
            meant = names.get((here, words[0]))
            if meant is None or meant[0] == words[0]:
                return None
            words = meant + words[1:]
        return None

    for mention in found:
        path = None if mention.is_declaration else resolve(mention.here, mention.words)
        if path is not None:
            yield mention.line, path


class Crate:
    """The files under src/, by their modules."""

    def __init__(self, root):
        self.root = root
        src = root / 'src'
        self.files = {module_of(path.relative_to(src)): path for path in sorted(src.rglob('*.rs'))}

    def shown(self, module):
        return str(self.files[module].relative_to(self.root))

    def module_named(self, path):
        """The module of the file that a path leads to: the longest beginning of it that is a file."""
        return next((path[:n] for n in range(len(path), -1, -1) if path[:n] in self.files), None)

    def imports(self, tree):
        """{module: {named module: first line}} of the files under the folder `tree`, without what is for tests only."""
        named, for_tests = {}, set()
        for module, path in self.files.items():
            if tree not in path.parents:
                continue
            whole = code_only(path.read_text(encoding='utf-8', errors='replace'))
            code = without_tests(whole)
            for_tests |= declared(whole, module) - declared(code, module)
            named[module] = {}
            for line, to in named_paths(code, module):
                other = self.module_named(to)
                if other is not None and other != module:
                    named[module].setdefault(other, line)
        kept = {m for m in named if not any(m[: len(t)] == t for t in for_tests)}
        return {m: {other: line for other, line in named[m].items() if other in kept} for m in sorted(kept)}


def declared(code, module):
    """The modules that `code` declares to be in files of their own."""
    return {m.here + (m.bound,) for m in mentions(code, module) if m.is_declaration}


def circles(named):
    """The strongly connected components of more than one node of a graph {node: nodes}, each sorted."""
    reached = {}
    for start in named:
        reached[start], open_nodes = set(), [start]
        while open_nodes:
            fresh = set(named[open_nodes.pop()]) - reached[start]
            reached[start] |= fresh
            open_nodes += fresh
    found = {tuple(sorted(other for other in reached[node] if node in reached[other])) for node in named}
    return sorted(circle for circle in found if len(circle) > 1)
