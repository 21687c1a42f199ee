"""Shows each rule of scripts/lint failing on a made-up tree."""

import tempfile
from pathlib import Path

TREES_WITHOUT_CIRCLES = ('src/fs',)

# The tree that the self-test begins with breaks no rule; each case below changes one file of it.
GOOD_TREE = {
    'src/lib.rs': 'pub mod engine;\nmod fuse;\npub mod model;\n',
    'src/main.rs': 'use storefs::engine;\nfn main() {}\n',
    'src/cli/mod.rs': 'use crate::mount;\nuse crate::{engine::Storage, model};\n',
    'src/fuse/mod.rs': 'use fuser::Filesystem;\nuse crate::fs::Tree;\n',
    'src/fs/mod.rs': (
        '//! Not [`crate::fuse`], and not fuser::Session.\n'
        'mod inode;\nuse crate::engine;\nuse super::model::{Key, fuse};\n'
        "fn f<'a>(x: &'a str) -> &'a str { \"crate::cli todo!( /* \" }\n"
        '/* crate::cli /* nested crate::mount */ crate::cli */\n'
        'const RAW: &str = r#"crate::cli " #[ignore] "#;\n'
    ),
    'src/fs/inode.rs': (
        'use super::cli;\nmod tests {\n use super::mount;\n fn p1_reads() {}\n use super::super::mount; }\n'
    ),
    'src/fs/dir.rs': 'use super::{handle::{self, Table}, name};\nfn f() { name::g(); handle::h() }\n',
    'src/fs/handle/mod.rs': 'mod table;\npub use table::Table;\n#[cfg(test)]\nmod checks;\n',
    'src/fs/handle/table.rs': (
        '//! A comment may name crate::fs::dir.\n'
        'use crate::fs::name::Name;\npub(in crate::fs::dir) struct Table;\n'
        '#[cfg(test)]\nuse crate::fs::{dir::Listing, handle};\n'
        '#[cfg(all(test, unix))]\nmod unix {\n use crate::fs::dir::Listing;\n}\n'
        'mod tests {\n use super::super::super::dir::Listing;\n}\n'
    ),
    'src/fs/handle/checks/mod.rs': 'mod more;\npub use more::A;\n',
    'src/fs/handle/checks/more.rs': 'use super::B;\n',
    'src/fs/name.rs': '//! Names (FORMAT 4.1,\n//! 4.3 and 5).\nstruct Name;\n',
    'tests/all.rs': ''.join(f'#[test]\nfn p{n}_holds() {{}}\n' for n in range(2, 20)) + 'fn p06b_holds() {}\n',
    'tests/fixtures/README.py': '# FORMAT 9.9\n',
    'tests/shell.sh': 'p20_owner_only() { :; }\n',
    'docs/SEMANTICS.md': '# Semantics\n\n'
    + ''.join(f'### P{n}. Title\n\nStatus: kept\n\nText.\n\n' for n in range(1, 20))
    + '### P20. Title\nStatus: partly (only as root)\n\n### P21. Title\nStatus: not yet (later)\n\n'
    + '### P22. Title\nStatus: partly (mostly)\n\n### P6b. Title\nStatus: kept\n',
    'docs/FORMAT.md': '# Format\n\n## 4. Metadata\n\n### 4.1 Writing\n\n### 4.3 Damage\n\n## 5. Records\n',
}

# (what is shown, file, text that is replaced or None for the whole file, new text, expected finding)
CASES = [
    ('crate path to a room above', 'src/fs/mod.rs', 'use crate::engine;', 'use crate::fuse::Adapter;',
     'src/fs/mod.rs:3: layering: fs names fuse,'),
    ('use tree with a room above', 'src/fs/inode.rs', 'use super::cli;',
     'use crate::{\n    engine::{self, mount},\n    cli,\n};', 'src/fs/inode.rs:3: layering: fs names cli,'),
    ('super path to a room above', 'src/fs/inode.rs', 'use super::cli;', 'use super::super::mount::Session;',
     'src/fs/inode.rs:1: layering: fs names mount,'),
    ('super path out of an inline module', 'src/fs/inode.rs', ' use super::super::mount;',
     ' use super::super::super::mount;', 'src/fs/inode.rs:5: layering: fs names mount,'),
    ('path in an expression', 'src/model/key.rs', None, 'fn f() { crate::backend::open() }\n',
     'src/model/key.rs:1: layering: model names backend,'),
    ('fuser path outside its rooms', 'src/fs/mod.rs', 'use crate::engine;', 'fn f(_: fuser::INodeNo) {}',
     'src/fs/mod.rs:3: layering: fuser is for'),
    ('fuser import outside its rooms', 'src/engine/mod.rs', None, 'use fuser as f;\n',
     'src/engine/mod.rs:1: layering: fuser is for'),
    ('circle of imports', 'src/fs/name.rs', 'struct Name;', 'use crate::fs::dir::Listing;',
     'src/fs/dir.rs:1: circle: 4 files name each other in a circle: '
     'src/fs/dir.rs, src/fs/handle/mod.rs, src/fs/handle/table.rs, src/fs/name.rs'),
    ('circle by what a mod.rs takes from its child', 'src/fs/name.rs', 'struct Name;', 'use super::handle::Table;',
     'src/fs/handle/mod.rs:2: circle: 3 files name each other in a circle: '
     'src/fs/handle/mod.rs, src/fs/handle/table.rs, src/fs/name.rs'),
    ('circle of a mod.rs and its child', 'src/fs/handle/table.rs', 'struct Table;', 'struct Table(super::Handle);',
     'src/fs/handle/mod.rs:2: circle: 2 files name each other in a circle: src/fs/handle/mod.rs, src/fs/handle/table.rs'),
    ('circle by a mod.rs with a path to its child', 'src/fs/mod.rs', 'mod inode;', 'mod inode; fn g() { inode::find() }',
     'src/fs/mod.rs:2: circle: 2 files name each other in a circle: src/fs/mod.rs, src/fs/inode.rs'),
    ('circle by a path in an expression', 'src/fs/name.rs', 'struct Name;', 'fn f() -> Vec<super::dir::Listing> {}',
     'src/fs/dir.rs:1: circle: 4 files'),
    ('circle by an imported name', 'src/fs/name.rs', 'struct Name;', 'use crate::fs as all;\nfn f() { all::dir::list() }',
     'src/fs/dir.rs:1: circle: 4 files'),
    ('circle behind an item for tests', 'src/fs/name.rs', 'struct Name;',
     '#[cfg(test)]\nfn f<A, B>(_: [u8; 3]) { () }\nuse super::dir;', 'src/fs/dir.rs:1: circle: 4 files'),
    ('use of the inside of a folder', 'src/fs/dir.rs', 'handle::{self, Table}', 'handle::{self, table::Table}',
     'src/fs/dir.rs:1: inside: src/fs/handle/table.rs is for fs::handle alone to name'),
    ('use of the inside from another room', 'src/fuse/mod.rs', 'fs::Tree', 'fs::handle::table',
     'src/fuse/mod.rs:2: inside: src/fs/handle/table.rs'),
    ('path to the inside by an imported name', 'src/fs/dir.rs', 'handle::h()', 'handle::table::h()',
     'src/fs/dir.rs:2: inside: src/fs/handle/table.rs'),
    ('citation of an unknown section', 'src/fs/name.rs', '4.1', '4.2', 'src/fs/name.rs:1: format: docs/FORMAT.md has no section 4.2'),
    ('citation in the next line', 'src/fs/name.rs', '4.3', '4.4', 'src/fs/name.rs:1: format: docs/FORMAT.md has no section 4.4'),
    ('last of several citations', 'src/fs/name.rs', 'and 5', 'and 6', 'format: docs/FORMAT.md has no section 6'),
    ('citation of an unknown section in a test', 'tests/shell.sh', 'p20_', '# FORMAT 4.3.1\np20_',
     'tests/shell.sh:1: format: docs/FORMAT.md has no section 4.3.1'),
    ('section that stands twice', 'docs/FORMAT.md', '### 4.3 Damage', '### 4.1 Damage',
     'docs/FORMAT.md:7: format: section 4.1 stands here a second time'),
    ('citation without the page', 'docs/FORMAT.md', None, None, 'src/fs/name.rs:1: format: docs/FORMAT.md has no section 4.1'),
    ('kept promise without a test', 'tests/all.rs', 'p13_holds', 'q13_holds', 'promises: P13 is marked as kept'),
    ('kept promise named only in a comment', 'tests/all.rs', 'fn p13_holds', '// fn p13_holds\nfn x',
     'promises: P13 is marked as kept'),
    ('kept promise with a letter without a test', 'tests/all.rs', 'p06b_holds', 'p06_holds', 'promises: P6b is marked as kept'),
    ('test of an unknown promise', 'src/fs/inode.rs', 'p1_reads', 'p1_reads() {} fn p23_more',
     'src/fs/inode.rs:4: promises: a test names P23,'),
    ('script test of an unknown promise', 'tests/shell.sh', 'p20_', 'p30_', 'tests/shell.sh:1: promises: a test names P30,'),
    ('missing promise', 'docs/SEMANTICS.md', '### P7. Title', '### Title', 'promises: P7 is missing'),
    ('promise that stands twice', 'docs/SEMANTICS.md', '### P7. Title', '### P6. Title', 'promises: P6 stands here a second time'),
    ('promise without a status', 'docs/SEMANTICS.md', 'Status: not yet (later)', 'Text.', 'promises: P21 needs a line'),
    ('status without a reason', 'docs/SEMANTICS.md', 'Status: partly (only as root)', 'Status: partly',
     'promises: P20 needs a line'),
    ('missing page', 'docs/SEMANTICS.md', None, None, 'docs/SEMANTICS.md:1: promises: the page is missing'),
    ('long file', 'src/fs/long.rs', None, '\n' * 601, 'src/fs/long.rs:601: length: 601 lines'),
    ('ignored test', 'tests/more.rs', None, '#[test]\n#[ignore = "slow"]\nfn f() {}\n',
     'tests/more.rs:2: unfinished: #[ignore'),
    ('todo', 'src/fs/inode.rs', 'p1_reads() {}', 'p1_reads() { todo!() }', 'src/fs/inode.rs:4: unfinished: todo!'),
    ('unimplemented', 'benches/b.rs', None, 'fn f() { unimplemented!("x") }', 'benches/b.rs:1: unfinished: unimplemented!'),
    ('character outside ASCII, also in a comment', 'src/fs/inode.rs', 'use super::cli;', '// \u2026',
     'src/fs/inode.rs:1: ascii: U+2026'),
]


def found_in(tree, findings):
    with tempfile.TemporaryDirectory(prefix='storefs-lint-') as folder:
        root = Path(folder)
        for name, text in tree.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding='utf-8')
        return findings(root, TREES_WITHOUT_CIRCLES)


def run(findings):
    passed = failed = 0

    def judge(name, good, found):
        nonlocal passed, failed
        passed, failed = passed + good, failed + (not good)
        print(f'{"ok    " if good else "FAILED"} {name}')
        if not good:
            print(*(f'         {line}' for line in found or ['nothing was found']), sep='\n')

    found = found_in(GOOD_TREE, findings)
    judge('a tree without faults', not found, found)
    for name, file, old, new, expected in CASES:
        tree = dict(GOOD_TREE)
        if old is not None:
            if old not in tree[file]:
                raise AssertionError(f'{name}: {file} has no text {old!r}')
            tree[file] = tree[file].replace(old, new, 1)
        elif new is not None:
            tree[file] = new
        else:
            del tree[file]
        found = found_in(tree, findings)
        judge(name, any(expected in line for line in found), found)
    print(f'lint self-test: {passed} passed, {failed} failed')
    return 1 if failed else 0
