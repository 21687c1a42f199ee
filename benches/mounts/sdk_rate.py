"""Prints the seconds that crawlee-python takes to set and to get records: SOURCE STORE COUNT SIZE.

SOURCE is a storage directory, or the URL of a database for the SDK's SQL client."""

import asyncio
import sys
import time
import warnings
from contextlib import nullcontext

from crawlee.configuration import Configuration
from crawlee.storages import KeyValueStore

# The SQL client is said to be experimental.
warnings.simplefilter('ignore')


def client_of(source):
    if '://' in source:
        from crawlee.storage_clients import SqlStorageClient

        return SqlStorageClient(connection_string=source), Configuration(purge_on_start=False)
    from crawlee.storage_clients import FileSystemStorageClient

    configuration = Configuration(storage_dir=source, purge_on_start=False)
    return nullcontext(FileSystemStorageClient()), configuration


async def main(source, name, count, size):
    client, configuration = client_of(source)
    async with client as storage_client:
        store = await KeyValueStore.open(
            name=name, configuration=configuration, storage_client=storage_client
        )
        keys = [f'record-{number:07}' for number in range(count)]
        value = 'x' * size
        start = time.perf_counter()
        for key in keys:
            await store.set_value(key, value)
        between = time.perf_counter()
        for key in keys:
            if await store.get_value(key) != value:
                raise SystemExit(f'{key} is not what was set')
        print(between - start, time.perf_counter() - between)


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
