"""Prints the seconds that crawlee-python's SQL client takes to set and to get records: URL STORE COUNT SIZE."""

import asyncio
import sys
import time
import warnings

from crawlee.storage_clients import SqlStorageClient
from crawlee.storages import KeyValueStore

warnings.simplefilter('ignore')


async def main(url, name, count, size):
    async with SqlStorageClient(connection_string=url) as client:
        store = await KeyValueStore.open(name=name, storage_client=client)
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
