"""Drives crawlee-python and apify-python on a storage directory, for the tests with the SDKs.

    python_sdk.py dump STORAGE STORE    the records of every key that the SDK lists
    python_sdk.py fill STORAGE          write a fresh storage with one record of every kind, and dump it
    python_sdk.py serve STORAGE STORE   keep the store open and obey commands, one on each line of input;
                                        with --apify by the Apify SDK's client, else by Crawlee's; STORAGE may be
                                        the connection string of a database
    python_sdk.py purge STORAGE STORE   open the store as the Apify SDK does, and purge it
    python_sdk.py collect STORAGE       fill the dataset `items` and the queue `queue`, and handle a request
    python_sdk.py purge-collected STORAGE   purge the two as the Apify SDK does
    python_sdk.py collected STORAGE     how many items and requests there are, and whether the one that was handled
                                        can be added again
    python_sdk.py input                 what Actor.get_input() gives to a run that starts now; the storage
                                        and the input key are those of the environment

STORE is a name, or an alias behind `alias:`; `default` is the unnamed default store. Everything is answered as JSON on standard output.
A record is {"key", "content_type", "type", "value"}; "type" is the Python type that the SDK gave back, and
bytes come as "hex" in place of "value". A key that the SDK has nothing under is {"key", "type": null}.
"""

import argparse
import asyncio
import json
import sys

from apify import Actor, Configuration
from apify.storage_clients import FileSystemStorageClient as ApifyFileSystemStorageClient
from crawlee.storage_clients import FileSystemStorageClient
from crawlee.storages import Dataset, KeyValueStore, RequestQueue

DEFAULT = 'default'


def configuration(storage):
    # Each process here looks at a storage that others made: a purge at the start is what none of them wants.
    return Configuration(storage_dir='.' if is_url(storage) else storage, purge_on_start=False)


def is_url(storage):
    return '://' in storage


def named(store):
    if store == DEFAULT:
        return {}
    kind, alias = ('alias', store.removeprefix('alias:')) if store.startswith('alias:') else ('name', store)
    return {kind: alias}


async def open_store(storage, store, client=None):
    return await KeyValueStore.open(
        **named(store),
        configuration=configuration(storage),
        storage_client=client or FileSystemStorageClient(),
    )


async def read(store, key):
    """The record as the two levels of the SDK see it: the value from the upper, the type from the lower."""
    value = await store.get_value(key)
    record = await store._client.get_value(key=key)  # noqa: SLF001 - the upper level hides the content type
    if record is None:
        return {'key': key, 'type': None}
    answer = {'key': key, 'content_type': record.content_type, 'type': type(value).__name__}
    return answer | shown(value)


def shown(value):
    return {'hex': value.hex()} if isinstance(value, bytes) else {'value': value}


def decoded(value):
    """A value as it comes on standard input: bytes are {"hex": ...}."""
    if isinstance(value, dict) and set(value) == {'hex'}:
        return bytes.fromhex(value['hex'])
    return value


async def listed(store):
    return [key.key async for key in store.iterate_keys()]


async def dump(store):
    return [await read(store, key) for key in await listed(store)]


KINDS = [
    ('dict', {'a': 1, 'ü': ['ž', None, 2.5]}, None),
    ('list', [1, {'b': True}], None),
    ('text', 'grüße\nzwei', None),
    ('empty', '', None),
    ('number', 42, None),
    ('bytes', b'\x00\xff\x01', None),
    ('nothing', None, None),
    ('page.html', '<p>x</p>', 'text/html'),
    ('shot.png', b'\x89PNG\r\n\x1a\n', 'image/png'),
    ('table', 'a,b\n1,2\n', 'text/csv'),
    ('made-up', b'\x01', 'application/vnd.example.thing+zip; v="1"'),
    ('typed-json', {'t': 1}, 'application/json'),
    ('INPUT', {'startUrls': []}, None),
]

ODD_KEYS = [
    'with space', 'ü', 'a/b', '%41', '100%', '@purge', '.hidden', 'x.lock', 'foo.tmp', 'nul\x00', 'line\nfeed',
    "it's", '"quoted"', '*?', '-dash', 'back\\slash', 'k' * 219,
]  # fmt: skip


async def fill(storage):
    answer = {}
    for name, records in (
        (DEFAULT, KINDS),
        ('odd-keys', [(key, {'key': key}, None) for key in ODD_KEYS]),
        ('empty', []),
    ):
        store = await open_store(storage, name)
        for key, value, content_type in records:
            await store.set_value(key, value, content_type=content_type)
        answer[name] = await dump(store)
    return answer


async def purge(storage, name):
    store = await open_store(storage, name, ApifyFileSystemStorageClient())
    await store.purge()  # and nothing after it: any further call would move the accessed time


HANDLED = 'https://example.com/handled'


async def collections(storage):
    given = {'configuration': configuration(storage), 'storage_client': ApifyFileSystemStorageClient()}
    return await Dataset.open(name='items', **given), await RequestQueue.open(name='queue', **given)


async def collect(storage):
    items, queue = await collections(storage)
    await items.push_data([{'a': 1}, {'b': 2}])
    await queue.add_requests([HANDLED])
    await queue.mark_request_as_handled(await queue.fetch_next_request())
    await queue.add_requests(['https://example.com/pending'])
    await queue._client._state.persist_state()  # noqa: SLF001 - as the end of a run does


async def purge_collected(storage):
    items, queue = await collections(storage)
    await items.purge()
    await queue.purge()


async def collected(storage):
    items, queue = await collections(storage)
    answer = {
        'items': (await items.get_metadata()).item_count,
        'listed': (await items.get_data()).count,
        'requests': (await queue.get_metadata()).total_request_count,
        'is_empty': await queue.is_empty(),
    }
    await items.push_data({'c': 3})
    await queue.add_requests([HANDLED])
    again = await queue.fetch_next_request()
    return answer | {'again': again and again.url, 'pushed': (await items.get_data()).items}


async def actor_input():
    # The configuration comes from the environment, as in a run; exit_process would end this process early.
    async with Actor(exit_process=False):
        value = await Actor.get_input()
    return {'type': type(value).__name__} | shown(value)


async def hammer(store, key, values, times):
    """Sets the key to each of the values in turn, as fast as the SDK can."""
    values = [decoded(value) for value in values]
    for _ in range(times):
        for value in values:
            await store.set_value(key, value)


async def fill_with_numbers(store, prefix, numbers):
    for number in range(*numbers):
        await store.set_value(f'{prefix}{number}', {'number': number})


async def reopen(storage, name, key, times):
    """Opens the store anew each time, as the Apify SDK does at the start of a run; what it found under the key."""
    found = []
    for _ in range(times):
        client = await ApifyFileSystemStorageClient().create_kvs_client(
            name=None if name == DEFAULT else name, configuration=configuration(storage)
        )
        record = await client.get_value(key=key)
        found.append(None if record is None else shown(record.value))
    return found


async def obey(storage, name, store, client, command):
    match command:
        case {'get': key}:
            return await read(store, key)
        case {'set': key, 'value': value, **rest}:
            return await store.set_value(key, decoded(value), content_type=rest.get('content_type'))
        case {'delete': key}:
            return await store.delete_value(key)
        case {'exists': key}:
            return await store.record_exists(key)
        case {'hammer': key, 'values': values, 'times': times}:
            return await hammer(store, key, values, times)
        case {'fill': prefix, 'numbers': numbers}:
            return await fill_with_numbers(store, prefix, numbers)
        case {'reopen': times, 'key': key}:
            return await reopen(storage, name, key, times)
        case {'purge': _}:
            return await store.purge()
        case {'drop': _}:
            return await store.drop()
        case {'keys': _}:
            return await listed(store)
        case {'metadata': _}:
            metadata = await store.get_metadata()
            times = {name: getattr(metadata, name).timestamp() for name in ('accessed_at', 'created_at', 'modified_at')}
            return {'id': metadata.id, 'name': metadata.name, **times}
        case {'open': name}:
            return (await open_store(storage, name, client)).id
        case {'push': items, 'dataset': name}:
            dataset = await Dataset.open(
                **named(name), configuration=configuration(storage), storage_client=client
            )
            return await dataset.push_data(items)
    raise ValueError(f'unknown command {command}')


async def serve(storage, name, client):
    store = await open_store(storage, name, client)
    print(json.dumps('ready'), flush=True)
    for line in sys.stdin:
        try:
            answer = {'ok': await obey(storage, name, store, client, json.loads(line))}
        except Exception as error:  # noqa: BLE001 - the other side decides what an error means
            answer = {'error': f'{type(error).__name__}: {error}'}
        print(json.dumps(answer), flush=True)


COLLECTIONS = {'collect': collect, 'purge-collected': purge_collected, 'collected': collected}


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('command', choices=['dump', 'fill', 'serve', 'purge', 'input', *COLLECTIONS])
    parser.add_argument('storage', nargs='?')
    parser.add_argument('store', nargs='?', default=DEFAULT)
    parser.add_argument('--apify', action='store_true')
    given = parser.parse_args()

    match given.command:
        case 'dump':
            answer = await dump(await open_store(given.storage, given.store))
        case 'fill':
            answer = await fill(given.storage)
        case 'serve' if is_url(given.storage):
            # Its drivers are asked for only here.
            from crawlee.storage_clients import SqlStorageClient

            async with SqlStorageClient(connection_string=given.storage) as client:
                return await serve(given.storage, given.store, client)
        case 'serve':
            client = ApifyFileSystemStorageClient() if given.apify else FileSystemStorageClient()
            return await serve(given.storage, given.store, client)
        case 'purge':
            answer = await purge(given.storage, given.store)
        case 'input':
            answer = await actor_input()
        case command:
            answer = await COLLECTIONS[command](given.storage)
    print(json.dumps(answer))


if __name__ == '__main__':
    asyncio.run(main())
