"""Puts an unmodified crawlee-python or apify-python through all kinds of storage, for tests/live/drop_in.

    python_storage.py crawlee|apify

The storage is where the environment says, as in any project. What the SDK saw is printed as one line of JSON, which
must be the same wherever the storage is: ids and times are left out.
"""

import asyncio
import json
import sys

from apify import Actor
from crawlee import service_locator
from crawlee.storage_clients import FileSystemStorageClient
from crawlee.storages import Dataset, KeyValueStore, RequestQueue

VALUES = [
    ('object', {'a': [1, None, 'ü']}, None),
    ('text', 'grüße', None),
    ('bytes', b'\x00\xff', None),
    ('nothing', None, None),
    ('page.html', '<p>x</p>', 'text/html'),
    ('with space', {'odd': True}, None),
    ('a/b', 'slash', None),
    ('foo.abcd_123.tmp', 'no temporary', None),
    ('x.lock', 'no lock', None),
    ('@purge', '1', None),
    ('%41', 'percent', None),
]


def shown(value):
    return {'hex': value.hex()} if isinstance(value, bytes) else value


async def contents(store):
    found = []
    async for key in store.iterate_keys():
        found.append([key.key, key.content_type, key.size, shown(await store.get_value(key.key))])
    return found


async def key_value_stores():
    seen = {}
    for kind, selector in (('default', {}), ('named', {'name': 'named'}), ('aliased', {'alias': 'aliased'})):
        store = await KeyValueStore.open(**selector)
        for key, value, content_type in VALUES:
            await store.set_value(key, value, content_type=content_type)
        for number in range(20):
            await store.set_value('rewritten', {'number': number, 'filler': 'x' * (number * 700)})
        await store.delete_value('text')
        await store.delete_value('was-never-there')
        seen[kind] = await contents(store)
        seen[f'{kind} exists'] = [await store.record_exists('text'), await store.record_exists('object')]
        page = [key.key async for key in store.iterate_keys(exclusive_start_key='object', limit=3)]
        seen[f'{kind} page'] = page

    # The same store by its id, from a client that knows nothing yet.
    named = await KeyValueStore.open(name='named')
    service_locator.storage_instance_manager.clear_cache()
    by_id = await KeyValueStore.open(id=named.id)
    seen['by id'] = [by_id.name, await by_id.get_value('object')]
    metadata = await by_id.get_metadata()
    seen['times'] = metadata.created_at <= metadata.modified_at <= metadata.accessed_at

    await by_id.purge()
    seen['purged'] = await contents(by_id)
    await by_id.set_value('after', 'purge')
    seen['after purge'] = await contents(by_id)
    dropped = await KeyValueStore.open(name='dropped')
    await dropped.set_value('gone', 'soon')
    await dropped.drop()
    again = await KeyValueStore.open(name='dropped')
    seen['made again'] = await contents(again)
    await again.drop()
    return seen


async def datasets():
    dataset = await Dataset.open(name='items')
    await dataset.push_data({'single': True})
    await dataset.push_data([{'number': number} for number in range(30)])
    seen = {'items': (await dataset.get_data()).items, 'count': (await dataset.get_metadata()).item_count}
    service_locator.storage_instance_manager.clear_cache()
    dataset = await Dataset.open(name='items')
    await dataset.push_data({'after': 'opening again'})
    seen['last'] = (await dataset.get_data(offset=31)).items
    other = await Dataset.open(alias='emptied')
    await other.push_data([{'a': 1}, {'a': 2}])
    await other.purge()
    seen['purged'] = (await other.get_data()).items
    await (await Dataset.open(name='gone')).drop()
    return seen


async def request_queues():
    queue = await RequestQueue.open(name='queue')
    await queue.add_requests([f'http://127.0.0.1/{number}' for number in range(20)])
    await queue.add_request('http://127.0.0.1/first', forefront=True)
    await queue.add_request('http://127.0.0.1/1')
    seen = {'order': []}
    for number in range(21):
        request = await queue.fetch_next_request()
        seen['order'].append(request.url)
        if number == 3:
            await queue.reclaim_request(request)
        else:
            await queue.mark_request_as_handled(request)
    metadata = await queue.get_metadata()
    seen['counts'] = [
        metadata.total_request_count,
        metadata.handled_request_count,
        metadata.pending_request_count,
        await queue.is_empty(),
        await queue.is_finished(),
    ]
    other = await RequestQueue.open(alias='gone')
    await other.add_request('http://127.0.0.1/')
    await other.drop()
    return seen


async def everything():
    return {
        'key-value stores': await key_value_stores(),
        'datasets': await datasets(),
        'request queues': await request_queues(),
    }


async def main():
    if sys.argv[1] == 'apify':
        # The configuration and the storage client are those of a run; exit_process would end this process early.
        async with Actor(exit_process=False):
            seen = await everything()
            seen['input'] = await Actor.get_input()
            await Actor.set_value('OUTPUT', {'done': True})
    else:
        service_locator.set_storage_client(FileSystemStorageClient())
        seen = await everything()
    print(json.dumps(seen))


if __name__ == '__main__':
    asyncio.run(main())
