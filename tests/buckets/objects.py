"""Looks at a bucket and changes it from the other side, by boto3, for the tests of buckets.

    objects.py BUCKET PREFIX            obey commands, one JSON text on each line of input
    objects.py BUCKET PREFIX STORE      the same; and what Crawlee's client does with the files of that store, as objects

Where the bucket is and who asks, the environment says. Keys are below PREFIX. Each command is answered by one line:
{"ok": ...} or {"error": ...}. Bytes are {"hex": ...} in place of a text.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from urllib.parse import quote, unquote

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

METADATA = '__metadata__.json'
BUCKET, PREFIX, *STORE = sys.argv[1:]
BEFORE = f'{PREFIX}/' if PREFIX else ''
# No checksums but what the test asks for, as an older client does; no second try.
CONFIG = Config(retries={'total_max_attempts': 1}, request_checksum_calculation='when_required', max_pool_connections=16)
S3 = boto3.client('s3', config=CONFIG)


def body(value):
    return bytes.fromhex(value['hex']) if isinstance(value, dict) else value.encode()


def put(key, value, type=None, metadata=None, encoding=None, only_if=None):  # noqa: A002 - as the command has it
    more = {'ContentType': type, 'Metadata': metadata, 'ContentEncoding': encoding, 'IfMatch': only_if}
    more = {name: given for name, given in more.items() if given is not None}
    return S3.put_object(Bucket=BUCKET, Key=BEFORE + key, Body=body(value), **more)['ETag']


def described(answer):
    return {
        'type': answer['ContentType'],
        'metadata': answer['Metadata'],
        'etag': answer['ETag'],
        'size': answer['ContentLength'],
        'modified': answer['LastModified'].timestamp(),
    }


def head(key):
    return described(S3.head_object(Bucket=BUCKET, Key=BEFORE + key))


def get(key):
    answer = S3.get_object(Bucket=BUCKET, Key=BEFORE + key)
    return described(answer) | {'hex': answer['Body'].read().hex()}


def listed(prefix=''):
    pages = S3.get_paginator('list_objects_v2').paginate(Bucket=BUCKET, Prefix=BEFORE + prefix)
    found = [found for page in pages for found in page.get('Contents', [])]
    return {one['Key'].removeprefix(BEFORE): one['Size'] for one in found}


def delete(key):
    S3.delete_object(Bucket=BUCKET, Key=BEFORE + key)


def delete_all(prefix=''):
    for key in listed(prefix):
        delete(key)


def fill(prefix, count, value='x', type='text/plain; charset=utf-8'):  # noqa: A002
    """So many records at once, which are numbered, with sidecars."""

    def one(number):
        name = f'{number:06}'
        put(f'{prefix}/{name}', value, type)
        put(f'{prefix}/{name}.{METADATA}', sidecar(name, type, len(body(value))), 'application/json')

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(count)))


def uploads():
    """What was begun in parts and neither completed nor given up."""
    answer = S3.list_multipart_uploads(Bucket=BUCKET, Prefix=BEFORE)
    return [upload['Key'].removeprefix(BEFORE) for upload in answer.get('Uploads', [])]


def upload(key, value):
    """Begins one in parts, sends a part, and goes no further."""
    begun = S3.create_multipart_upload(Bucket=BUCKET, Key=BEFORE + key)['UploadId']
    S3.upload_part(Bucket=BUCKET, Key=BEFORE + key, UploadId=begun, PartNumber=1, Body=body(value))
    return begun


def sidecar(key, content_type, size):
    return json.dumps({'key': key, 'content_type': content_type, 'size': size}, indent=2)


class Client:
    """A store as Crawlee's client for files keeps it, with objects in place of files: the value, then its sidecar."""

    def __init__(self, store):
        self.at = f'key_value_stores/{store}'
        if METADATA not in self.names():
            now = datetime.now(timezone.utc).isoformat()
            times = {f'{what}_at': now for what in ('created', 'accessed', 'modified')}
            text = json.dumps({'id': f'id-of-{store}', 'name': store} | times)
            put(f'{self.at}/{METADATA}', text, 'application/json')

    def names(self):
        return [key.removeprefix(f'{self.at}/') for key in listed(f'{self.at}/')]

    def set(self, key, value):
        if isinstance(value, dict) and set(value) == {'hex'}:
            given, content_type = value, 'application/octet-stream'
        elif isinstance(value, str):
            given, content_type = value, 'text/plain; charset=utf-8'
        else:
            given, content_type = json.dumps(value, indent=2), 'application/json; charset=utf-8'
        path = f'{self.at}/{quote(key, safe="")}'
        put(path, given, content_type)
        put(f'{path}.{METADATA}', sidecar(key, content_type, len(body(given))), 'application/json')

    def get(self, key):
        path = f'{self.at}/{quote(key, safe="")}'
        value = bytes.fromhex(get(path)['hex'])
        told = json.loads(bytes.fromhex(get(f'{path}.{METADATA}')['hex']))
        content_type = told.get('contentType') or told['content_type']
        answer = {'key': key, 'content_type': content_type}
        if 'json' in content_type:
            return answer | {'value': json.loads(value)}
        return answer | ({'value': value.decode()} if content_type.startswith('text/') else {'hex': value.hex()})

    def keys(self, _):
        return [unquote(name) for name in self.names() if not name.endswith(METADATA)]

    def delete(self, key):
        path = f'{self.at}/{quote(key, safe="")}'
        delete(path)
        delete(f'{path}.{METADATA}')

    def purge(self, _):
        for name in self.names():
            if not name.startswith('INPUT') and name != METADATA:
                delete(f'{self.at}/{name}')

    def drop(self, _):
        delete_all(f'{self.at}/')

    def hammer(self, key, values, times):
        for number in range(times):
            self.set(key, values[number % len(values)])


CALLS = [put, head, get, listed, delete, delete_all, fill, uploads, upload]


def obey(client, command):
    if client:
        name = next((name for name in ('hammer', 'set', 'get', 'keys', 'delete', 'purge', 'drop') if name in command), None)
        if name:
            return getattr(client, name)(command.pop(name), **command)
    name = command.pop('do')
    return next(call for call in CALLS if call.__name__ == name)(**command)


def main():
    client = Client(*STORE) if STORE else None
    print(json.dumps('ready'), flush=True)
    for line in sys.stdin:
        try:
            answer = {'ok': obey(client, json.loads(line))}
        except ClientError as error:
            answer = {'error': error.response['Error']['Code'] + ': ' + str(error)}
        except (BotoCoreError, OSError) as error:  # the connection, in any of its ways
            answer = {'error': f'{type(error).__name__}: {error}'}
        print(json.dumps(answer), flush=True)


main()
