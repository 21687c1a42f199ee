#!/usr/bin/env python3
"""Prints the licences of the crates that are linked into the program: what a package of it has to say.

    scripts/crate_licences.py TARGET     such as x86_64-unknown-linux-musl

First a line for each crate, with its version and licence; then each text that the crates ship, once, with the crates
that ship it.
"""

import json
import subprocess
import sys
from pathlib import Path

FEATURES = 'postgres,s3'
NAMES = ('licen', 'copying', 'copyright', 'notice', 'unlicense')


def linked(metadata):
    """Yields the packages that the program is made of, without those that are used to build or to test it."""
    packages = {package['id']: package for package in metadata['packages']}
    nodes = {node['id']: node for node in metadata['resolve']['nodes']}
    root = metadata['resolve']['root']
    seen, todo = {root}, [root]
    while todo:
        for dependency in nodes[todo.pop()]['deps']:
            is_linked = any(kind['kind'] is None for kind in dependency['dep_kinds'])
            if is_linked and dependency['pkg'] not in seen:
                seen.add(dependency['pkg'])
                todo.append(dependency['pkg'])
    found = [packages[id] for id in seen - {root}]
    return sorted(found, key=lambda package: (package['name'], package['version']))


def texts(package):
    folder = Path(package['manifest_path']).parent
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name.lower().startswith(NAMES):
            yield path.read_text(encoding='utf-8', errors='replace').strip()


def main():
    target = sys.argv[1]
    command = ['cargo', 'metadata', '--format-version=1', '--locked', '--features', FEATURES, '--filter-platform', target]
    metadata = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    packages = linked(metadata)
    print('Crates that are linked into storefs, and their licences:\n')
    for package in packages:
        print(f"  {package['name']} {package['version']}: {package['license'] or 'see below'}")
    shippers = {}
    for package in packages:
        for text in texts(package):
            shippers.setdefault(text, []).append(f"{package['name']} {package['version']}")
    for text, names in shippers.items():
        print(f"\n{'-' * 78}\n{', '.join(dict.fromkeys(names))}:\n\n{text}")


if __name__ == '__main__':
    main()
