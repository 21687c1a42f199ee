#!/usr/bin/env python3
"""Makes an image for containers, as an OCI layout of one layer, of a directory.

    scripts/oci_layout.py ROOT OUT --architecture amd64 --version 1.2.3

All times are $SOURCE_DATE_EPOCH, owner and group are root, and files are in the order of their names, so that the
same files make the same image. The format is the OCI image specification 1.1.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import tarfile
from datetime import datetime, timezone
from pathlib import Path

TYPES = 'application/vnd.oci.image'


def tar_of(root, time):
    """A tar archive of what is below `root`."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode='w', format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(root.rglob('*')):
            entry = tar.gettarinfo(str(path), arcname=str(path.relative_to(root)))
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = 'root'
            entry.mtime = time
            if entry.isreg():
                with path.open('rb') as content:
                    tar.addfile(entry, content)
            else:
                tar.addfile(entry)
    return archive.getvalue()


class Layout:
    """A directory in which each blob is named by its digest."""

    def __init__(self, path):
        self.path = path
        self.blobs = path / 'blobs' / 'sha256'
        self.blobs.mkdir(parents=True)

    def add(self, media_type, content):
        """Keeps a blob; returns what names it elsewhere."""
        digest = hashlib.sha256(content).hexdigest()
        (self.blobs / digest).write_bytes(content)
        return {'mediaType': f'{TYPES}.{media_type}', 'digest': f'sha256:{digest}', 'size': len(content)}

    def add_json(self, media_type, value):
        return self.add(media_type, encoded(value))

    def write(self, name, value):
        (self.path / name).write_bytes(encoded(value))


def encoded(value):
    return json.dumps(value, indent=1, sort_keys=True).encode() + b'\n'


def main():
    parser = argparse.ArgumentParser(description='Makes an OCI image layout of a directory.')
    parser.add_argument('root', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--architecture', required=True)
    parser.add_argument('--version', required=True)
    options = parser.parse_args()
    time = int(os.environ['SOURCE_DATE_EPOCH'])
    created = datetime.fromtimestamp(time, timezone.utc).strftime('%Y-%m-%dT%H:%M:%SZ')
    platform = {'architecture': options.architecture, 'os': 'linux'}
    labels = {
        'org.opencontainers.image.title': 'storefs',
        'org.opencontainers.image.version': options.version,
        'org.opencontainers.image.licenses': 'MIT OR Apache-2.0',
        'org.opencontainers.image.created': created,
    }

    layout = Layout(options.out)
    files = tar_of(options.root, time)
    layer = layout.add('layer.v1.tar+gzip', gzip.compress(files, compresslevel=9, mtime=0))
    config = layout.add_json(
        'config.v1+json',
        {
            **platform,
            'created': created,
            'config': {
                'Entrypoint': ['/usr/bin/storefs'],
                'Cmd': ['--help'],
                'Env': ['PATH=/usr/sbin:/usr/bin', 'HOME=/tmp'],
                'WorkingDir': '/',
                'StopSignal': 'SIGTERM',
                'Labels': labels,
            },
            'rootfs': {'type': 'layers', 'diff_ids': ['sha256:' + hashlib.sha256(files).hexdigest()]},
            'history': [{'created': created, 'created_by': 'scripts/package'}],
        },
    )
    manifest = layout.add_json(
        'manifest.v1+json',
        {
            'schemaVersion': 2,
            'mediaType': f'{TYPES}.manifest.v1+json',
            'config': config,
            'layers': [layer],
            'annotations': labels,
        },
    )
    manifest.update(platform=platform, annotations={'org.opencontainers.image.ref.name': options.version})
    layout.write('index.json', {'schemaVersion': 2, 'mediaType': f'{TYPES}.index.v1+json', 'manifests': [manifest]})
    layout.write('oci-layout', {'imageLayoutVersion': '1.0.0'})


if __name__ == '__main__':
    main()
