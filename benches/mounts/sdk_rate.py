"""Prints the seconds that crawlee-python takes to set and to get records: STORAGE STORE COUNT SIZE."""

import asyncio
import sys
import time

from crawlee.configuration import Configuration
from crawlee.storage_clients import FileSystemStorageClient
from crawlee.storages import KeyValueStore


async def main(storage, name, count, size):
    store = await KeyValueStore.open(
        name=name,
        configuration=Configuration(storage_dir=storage, purge_on_start=False),
        storage_client=FileSystemStorageClient(),
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
