"""Crawlee's SQL client on the other side: URL COMMAND [COUNT]. Prints one JSON text a line."""

import asyncio
import json
import sys
import warnings

from crawlee.storage_clients import SqlStorageClient
from crawlee.storages import Dataset, KeyValueStore

warnings.simplefilter("ignore")


async def write(client):
    store = await KeyValueStore.open(name="s", storage_client=client)
    await store.set_value("json", {"url": "https://example.com", "ž": 1})
    await store.set_value("text", "42")
    await store.set_value("bytes", b"\x00\x01\xff")
    await store.set_value("none", None)
    await store.set_value("k ey/É", "x", content_type="text/html")
    await store.set_value("gone", "x")
    await store.set_value("gone", None)
    await KeyValueStore.open(alias="aliased", storage_client=client)
    await KeyValueStore.open(storage_client=client)
    dataset = await Dataset.open(name="d", storage_client=client)
    await dataset.push_data([{"n": n} for n in range(3)])


async def read(client):
    store = await KeyValueStore.open(name="s", storage_client=client)
    async for record in store.iterate_keys():
        value = await store.get_value(record.key)
        print(json.dumps([record.key, record.content_type, record.size, repr(value)]))
    metadata = await store.get_metadata()
    print(json.dumps([metadata.id, metadata.modified_at.timestamp()]))


async def hammer(client, count):
    """Writes values of two types to one key, and folds: each value tells its type."""
    store = await KeyValueStore.open(name="s", storage_client=client)
    for number in range(count):
        if number % 2:
            await store.set_value("shared", {"json": number})
        else:
            await store.set_value("shared", f"text {number}")
        await store.set_value(f"own-{number}", number)
        if number % 5 == 0:
            await store.get_metadata()
        if number % 7 == 0:
            await store.delete_value("shared")
        await store.get_value("shared")
    print(json.dumps((await store.get_metadata()).modified_at.timestamp()))


async def main():
    url, command, *count = sys.argv[1:]
    client = SqlStorageClient(connection_string=url)
    async with client:
        await {"write": write, "read": read, "hammer": hammer}[command](client, *map(int, count))


asyncio.run(main())
