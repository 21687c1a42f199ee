"""Checks an OCI image layout by the specification's rules, unpacks its layer, and prints its entrypoint.

    oci_check.py LAYOUT ROOT
"""

import gzip
import hashlib
import json
import sys
import tarfile
from pathlib import Path

TYPES = 'application/vnd.oci.image'
layout, root = Path(sys.argv[1]), Path(sys.argv[2])
seen = set()


def blob(descriptor, media_type):
    assert descriptor['mediaType'] == f'{TYPES}.{media_type}', descriptor
    algorithm, digest = descriptor['digest'].split(':')
    content = (layout / 'blobs' / algorithm / digest).read_bytes()
    assert len(content) == descriptor['size'], descriptor
    assert hashlib.new(algorithm, content).hexdigest() == digest, descriptor
    seen.add(digest)
    return content


assert json.loads((layout / 'oci-layout').read_text()) == {'imageLayoutVersion': '1.0.0'}
index = json.loads((layout / 'index.json').read_text())
assert index['schemaVersion'] == 2
(named,) = index['manifests']
assert named['annotations']['org.opencontainers.image.ref.name']
manifest = json.loads(blob(named, 'manifest.v1+json'))
assert manifest['schemaVersion'] == 2
assert manifest['mediaType'] == named['mediaType']
config = json.loads(blob(manifest['config'], 'config.v1+json'))
assert (config['os'], config['architecture']) == (named['platform']['os'], named['platform']['architecture'])
assert config['rootfs']['type'] == 'layers'
(layer,) = manifest['layers']
files = gzip.decompress(blob(layer, 'layer.v1.tar+gzip'))
assert config['rootfs']['diff_ids'] == ['sha256:' + hashlib.sha256(files).hexdigest()]
assert {path.name for path in (layout / 'blobs' / 'sha256').iterdir()} == seen, 'a blob that nothing names'

(root / 'layer.tar').write_bytes(files)
with tarfile.open(root / 'layer.tar') as tar:
    for entry in tar:
        assert entry.uid == entry.gid == 0 and not entry.name.startswith(('/', '..')), entry.name
    tar.extractall(root)
(root / 'layer.tar').unlink()
(program,) = config['config']['Entrypoint']
print(program)
