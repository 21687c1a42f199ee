"""What crawlee-python's file-system client of key-value stores promises by its public interface, as tests that run on
any storage directory: the one that STOREFS_TEST_STORAGE names.

Run by tests/live/drop_in on a plain directory, and on one inside a mount.
"""

import asyncio
import json
import os
import shutil
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import quote

import pytest

from crawlee.configuration import Configuration
from crawlee.storage_clients import FileSystemStorageClient

METADATA = '__metadata__.json'
STORAGE = Path(os.environ['STOREFS_TEST_STORAGE'])


@pytest.fixture(autouse=True)
def storage():
    """The storage directory, empty before and after each test."""

    def clear():
        for entry in STORAGE.iterdir():
            # The mount's own directory is no part of the storage; others appear always, and stay.
            if entry.name != '.storefs':
                for inner in entry.iterdir():
                    shutil.rmtree(inner)

    clear()
    yield STORAGE
    clear()


def configuration(*, purge_on_start=False):
    return Configuration(storage_dir=str(STORAGE), purge_on_start=purge_on_start)


async def open_store(*, purge_on_start=False, **selector):
    """A client that knows only what is on disk."""
    client = FileSystemStorageClient()
    return await client.create_kvs_client(configuration=configuration(purge_on_start=purge_on_start), **selector)


async def keys(store, **options):
    return [record.key async for record in store.iterate_keys(**options)]


async def value(store, key):
    record = await store.get_value(key=key)
    return None if record is None else record.value


def on_disk(store):
    return json.loads(store.path_to_metadata.read_text(encoding='utf-8'))


def files(store):
    return sorted(path.name for path in store.path_to_kvs.iterdir())


# ---- open ----


async def test_open_makes_the_directory_and_its_metadata():
    store = await open_store(name='new')
    assert store.path_to_kvs == STORAGE / 'key_value_stores' / 'new'
    assert files(store) == [METADATA]
    metadata = await store.get_metadata()
    assert on_disk(store)['id'] == metadata.id
    assert on_disk(store)['name'] == 'new'
    assert len(metadata.id) == 17
    assert metadata.created_at <= datetime.now(timezone.utc)


async def test_open_without_a_selector_is_the_unnamed_default_store():
    store = await open_store()
    assert store.path_to_kvs.name == 'default'
    assert on_disk(store)['name'] is None


async def test_open_by_alias_makes_an_unnamed_store_in_a_directory_of_that_name():
    store = await open_store(alias='run-scoped')
    assert store.path_to_kvs.name == 'run-scoped'
    assert on_disk(store)['name'] is None
    again = await open_store(alias='run-scoped')
    assert (await again.get_metadata()).id == (await store.get_metadata()).id


async def test_open_by_name_again_finds_the_same_store():
    first = await open_store(name='again')
    await first.set_value(key='kept', value='here')
    second = await open_store(name='again')
    assert (await second.get_metadata()).id == (await first.get_metadata()).id
    assert await value(second, 'kept') == 'here'


async def test_open_by_id_finds_the_store_whatever_its_name():
    stores = [await open_store(name=name) for name in ('one', 'two', 'three')]
    for store in stores:
        metadata = await store.get_metadata()
        found = await open_store(id=metadata.id)
        assert found.path_to_kvs == store.path_to_kvs
        assert (await found.get_metadata()).name == metadata.name


async def test_open_by_an_unknown_id_fails_and_makes_nothing():
    await open_store(name='other')
    with pytest.raises(ValueError, match='with ID "nope" not found'):
        await open_store(id='nope')
    # Neither is the name of a directory an id.
    with pytest.raises(ValueError, match='with ID "other" not found'):
        await open_store(id='other')
    assert [path.name for path in (STORAGE / 'key_value_stores').iterdir()] == ['other']


@pytest.mark.parametrize(
    'selector', [{'id': 'a', 'name': 'b'}, {'id': 'a', 'alias': 'b'}, {'name': 'a', 'alias': 'b'}]
)
async def test_open_by_two_selectors_fails(selector):
    with pytest.raises(ValueError, match='Only one of'):
        await open_store(**selector)


@pytest.mark.parametrize('name', ['a/b', '.', '..', '/abs'])
async def test_open_by_what_is_no_single_directory_fails(name):
    with pytest.raises(ValueError, match='storage name or alias'):
        await open_store(name=name)


@pytest.mark.parametrize('name', ['a b', 'a_b', 'ü', 'a.b', 'UPPER', 'x' * 200])
async def test_open_by_any_single_directory_works(name):
    store = await open_store(name=name)
    await store.set_value(key='k', value=name)
    assert await value(await open_store(name=name), 'k') == name


@pytest.mark.parametrize('content', ['', '{', '[]', '{"id": "x"}', '{"id": 5, "name": null}'])
async def test_open_of_damaged_metadata_fails_and_leaves_it(content):
    store = await open_store(name='damaged')
    store.path_to_metadata.write_text(content)
    with pytest.raises((ValueError, TypeError)):
        await open_store(name='damaged')
    assert store.path_to_metadata.read_text() == content


async def test_open_of_a_directory_without_metadata_writes_some_and_keeps_the_files():
    directory = STORAGE / 'key_value_stores' / 'by-hand'
    directory.mkdir(parents=True)
    assert list(directory.iterdir()) == []
    (directory / 'dropped.txt').write_text('in')
    store = await open_store(name='by-hand')
    assert files(store) == [METADATA, 'dropped.txt']
    assert await value(store, 'dropped.txt') is None


# ---- values and content types ----


@pytest.mark.parametrize(
    ('given', 'content_type', 'expected_type', 'read'),
    [
        ({'a': [1, None, 'ü']}, None, 'application/json; charset=utf-8', {'a': [1, None, 'ü']}),
        ([1, {'b': 2}], None, 'application/json; charset=utf-8', [1, {'b': 2}]),
        ('grüße', None, 'text/plain; charset=utf-8', 'grüße'),
        ('', None, 'text/plain; charset=utf-8', ''),
        (42, None, 'text/plain; charset=utf-8', '42'),
        (True, None, 'text/plain; charset=utf-8', 'True'),
        (b'\x00\xff', None, 'application/octet-stream', b'\x00\xff'),
        (b'', None, 'application/octet-stream', b''),
        (None, None, 'application/x-none', None),
        ('<p>', 'text/html', 'text/html', '<p>'),
        (b'\x89PNG', 'image/png', 'image/png', b'\x89PNG'),
        ({'t': 1}, 'application/json', 'application/json', {'t': 1}),
        ('{"a":1}', 'application/json', 'application/json', '{"a":1}'),
        ('<x/>', 'application/xml', 'application/xml', b'<x/>'),
    ],
)
async def test_a_value_is_read_as_its_content_type_says(given, content_type, expected_type, read):
    await (await open_store()).set_value(key='k', value=given, content_type=content_type)
    store = await open_store()
    record = await store.get_value(key='k')
    assert (record.key, record.content_type, record.value) == ('k', expected_type, read)
    size = (store.path_to_kvs / 'k').stat().st_size
    assert record.size in (size, None)
    sidecar = json.loads((store.path_to_kvs / f'k.{METADATA}').read_text())
    assert sidecar == {'key': 'k', 'content_type': expected_type, 'size': size}


async def test_a_new_value_replaces_value_and_type():
    store = await open_store()
    for given in ({'a': 1}, 'text', b'\xff', None, ['again'], 'x' * 100_000, 's'):
        await store.set_value(key='k', value=given)
        assert await value(store, 'k') == given
        assert await value(await open_store(), 'k') == given
    assert files(store) == [METADATA, 'k', f'k.{METADATA}']


async def test_large_values_are_whole():
    store = await open_store()
    large = os.urandom(3_000_000)
    await store.set_value(key='large', value=large)
    assert await value(await open_store(), 'large') == large


async def test_a_missing_value_is_none():
    store = await open_store()
    assert await store.get_value(key='missing') is None


@pytest.mark.parametrize(
    'key',
    ['with space', 'ü', 'e\u0301', 'a/b', '../up', '%41', '100%', '@purge', '.hidden', 'x.lock', 'foo.tmp',
     '.tmp.abcdefghijkl', 'obj.abcd_123.tmp', 'nul\x00', 'line\nfeed', '"quoted"', "it's", '*?', '-dash',
     'back\\slash', 'trailing.', 'INPUT.json', 'k' * 219],
)  # fmt: skip
async def test_any_key_is_stored_under_its_quoted_name(key):
    store = await open_store(name='odd')
    await store.set_value(key=key, value={'key': key})
    assert files(store) == sorted([METADATA, quote(key, safe=''), f'{quote(key, safe="")}.{METADATA}'])
    fresh = await open_store(name='odd')
    assert await value(fresh, key) == {'key': key}
    assert await keys(fresh) == [key]
    assert await fresh.record_exists(key=key)
    await fresh.delete_value(key=key)
    assert files(store) == [METADATA]


async def test_a_key_that_is_too_long_fails_at_the_caller():
    store = await open_store()
    with pytest.raises(OSError, match='File name too long'):
        await store.set_value(key='k' * 300, value='x')


@pytest.mark.parametrize(
    'sidecar', ['', 'no JSON', '{"key": "k"}', '{"key": "k", "content_type": "application/json", "size": 1}']
)
async def test_a_record_that_cannot_be_decoded_is_none(sidecar):
    store = await open_store()
    await store.set_value(key='k', value='no JSON')
    (store.path_to_kvs / f'k.{METADATA}').write_text(sidecar)
    assert await store.get_value(key='k') is None


async def test_a_value_without_sidecar_and_a_sidecar_without_value_are_none():
    store = await open_store()
    for key in ('bare', 'orphan'):
        await store.set_value(key=key, value='x')
    (store.path_to_kvs / f'bare.{METADATA}').unlink()
    (store.path_to_kvs / 'orphan').unlink()
    assert await store.get_value(key='bare') is None
    assert await store.get_value(key='orphan') is None
    assert not await store.record_exists(key='bare')
    assert await keys(store) == ['orphan']


async def test_a_sidecar_in_camel_case_is_read():
    store = await open_store()
    await store.set_value(key='k', value='<p>')
    sidecar = json.dumps({'key': 'k', 'contentType': 'text/html', 'size': 3})
    (store.path_to_kvs / f'k.{METADATA}').write_text(sidecar)
    record = await store.get_value(key='k')
    assert (record.content_type, record.value) == ('text/html', '<p>')


# ---- delete, exists ----


async def test_delete_removes_value_and_sidecar():
    store = await open_store()
    await store.set_value(key='a', value=1)
    await store.set_value(key='b', value=2)
    await store.delete_value(key='a')
    assert files(store) == [METADATA, 'b', f'b.{METADATA}']
    assert await value(store, 'a') is None
    await store.delete_value(key='a')
    await store.delete_value(key='never')
    assert await keys(await open_store()) == ['b']


async def test_record_exists_follows_every_change():
    store = await open_store()
    assert not await store.record_exists(key='k')
    await store.set_value(key='k', value=None)
    assert await store.record_exists(key='k')
    assert await (await open_store()).record_exists(key='k')
    await store.delete_value(key='k')
    assert not await store.record_exists(key='k')


# ---- iterate ----


async def test_iterate_gives_keys_types_and_sizes_in_order():
    store = await open_store()
    for key, given in (('b', 'text'), ('a', {'x': 1}), ('c', b'\x00\x01')):
        await store.set_value(key=key, value=given)
    found = [(record.key, record.content_type, record.size) async for record in store.iterate_keys()]
    assert found == [
        ('a', 'application/json; charset=utf-8', 12),
        ('b', 'text/plain; charset=utf-8', 4),
        ('c', 'application/octet-stream', 2),
    ]


async def test_iterate_of_an_empty_store_gives_nothing():
    assert await keys(await open_store()) == []


async def test_iterate_in_pages_gives_each_key_once():
    store = await open_store()
    expected = [f'key-{number:03}' for number in range(53)]
    for key in reversed(expected):
        await store.set_value(key=key, value=key)
    found, start = [], None
    while page := await keys(store, exclusive_start_key=start, limit=10):
        assert len(page) == 10 or len(found) == 50
        found += page
        start = page[-1]
    assert found == expected
    assert await keys(store, exclusive_start_key='key-049') == expected[50:]
    assert await keys(store, limit=2) == expected[:2]
    assert await keys(store, exclusive_start_key='zzz') == []
    assert await keys(store, exclusive_start_key='key-0005', limit=1) == ['key-001']


async def test_iterate_passes_over_litter():
    store = await open_store()
    await store.set_value(key='good', value='x')
    (store.path_to_kvs / f'empty.{METADATA}').write_text('')
    (store.path_to_kvs / f'broken.{METADATA}').write_text('{')
    (store.path_to_kvs / 'bare').write_text('x')
    (store.path_to_kvs / 'bare.abcd1234.tmp').write_text('x')
    (store.path_to_kvs / 'directory').mkdir()
    (store.path_to_kvs / 'x.lock').mkdir()
    assert await keys(store) == ['good']


# ---- purge, drop ----


async def test_purge_leaves_only_the_metadata_and_the_identity():
    store = await open_store(name='purged')
    for number in range(20):
        await store.set_value(key=f'k{number}', value=number)
    (store.path_to_kvs / 'bare').write_text('x')
    before = on_disk(store)
    await store.purge()
    after = on_disk(store)
    assert files(store) == [METADATA]
    assert all(before[field] == after[field] for field in ('id', 'name', 'created_at'))
    assert after['accessed_at'] == after['modified_at'] > before['modified_at']
    assert await keys(store) == []
    await store.set_value(key='after', value='purge')
    assert await keys(await open_store(name='purged')) == ['after']


async def test_purge_on_start_empties_unnamed_stores_only():
    for selector in ({}, {'alias': 'aliased'}, {'name': 'named'}):
        store = await open_store(**selector)
        await store.set_value(key='k', value='x')
        found = await keys(await open_store(purge_on_start=True, **selector))
        assert found == (['k'] if 'name' in selector else [])


async def test_drop_removes_the_directory_and_others_stay():
    store, other = await open_store(name='dropped'), await open_store(name='other')
    await store.set_value(key='k', value='x')
    await other.set_value(key='k', value='y')
    identity = (await store.get_metadata()).id
    await store.drop()
    assert not store.path_to_kvs.exists()
    assert [path.name for path in (STORAGE / 'key_value_stores').iterdir()] == ['other']
    assert await value(other, 'k') == 'y'
    with pytest.raises(ValueError, match='not found'):
        await open_store(id=identity)
    again = await open_store(name='dropped')
    assert (await again.get_metadata()).id != identity
    assert await keys(again) == []


# ---- metadata ----


async def times(store):
    metadata = on_disk(store)
    return metadata['created_at'], metadata['modified_at'], metadata['accessed_at']


async def test_times_follow_what_is_done():
    store = await open_store(name='times')
    await store.set_value(key='k', value='x')
    created, modified, accessed = await times(store)

    await store.get_value(key='k')
    after_get = await times(store)
    assert after_get[:2] == (created, modified)
    assert after_get[2] > accessed

    await keys(store)
    after_iterate = await times(store)
    assert after_iterate[:2] == (created, modified)
    assert after_iterate[2] > after_get[2]

    await store.set_value(key='k', value='y')
    after_set = await times(store)
    assert after_set[0] == created
    assert after_set[1] > modified
    assert after_set[2] > after_iterate[2]

    await store.delete_value(key='k')
    after_delete = await times(store)
    assert after_delete[1] > after_set[1]

    again = await open_store(name='times')
    after_open = await times(again)
    assert after_open[:2] == after_delete[:2]
    assert after_open[2] > after_delete[2]


async def test_unknown_fields_of_the_metadata_are_kept():
    store = await open_store(name='extended')
    store.path_to_metadata.write_text(json.dumps(on_disk(store) | {'own': {'kept': [1, 'ü']}}))
    again = await open_store(name='extended')
    await again.set_value(key='k', value='x')
    assert on_disk(again)['own'] == {'kept': [1, 'ü']}


async def test_metadata_in_camel_case_is_read():
    store = await open_store(name='camel')
    fields = on_disk(store)
    camel = {'createdAt': 'created_at', 'accessedAt': 'accessed_at', 'modifiedAt': 'modified_at'}
    text = {'id': fields['id'], 'name': 'camel'} | {new: fields[old].replace(' ', 'T') for new, old in camel.items()}
    store.path_to_metadata.write_text(json.dumps(text))
    again = await open_store(name='camel')
    assert (await again.get_metadata()).id == fields['id']


# ---- persistence, concurrency, addresses ----


async def test_everything_is_on_disk_when_the_call_has_returned():
    store = await open_store(name='durable')
    for number in range(50):
        await store.set_value(key='state', value={'number': number})
        assert json.loads((store.path_to_kvs / 'state').read_text()) == {'number': number}
        assert await value(await open_store(name='durable'), 'state') == {'number': number}


async def test_concurrent_sets_of_many_keys_are_all_kept():
    store = await open_store(name='many')
    await asyncio.gather(*(store.set_value(key=f'k{number}', value={'n': number}) for number in range(100)))
    found = await open_store(name='many')
    assert len(await keys(found)) == 100
    values = await asyncio.gather(*(value(found, f'k{number}') for number in range(100)))
    assert values == [{'n': number} for number in range(100)]
    assert len(files(found)) == 201


async def test_concurrent_sets_of_one_key_leave_one_of_the_values():
    clients = [await open_store(name='one') for _ in range(4)]
    for round_ in range(10):
        await asyncio.gather(
            *(client.set_value(key='k', value={'n': n, 'r': round_}) for n, client in enumerate(clients))
        )
        assert (await value(clients[0], 'k'))['r'] == round_
    assert files(clients[0]) == [METADATA, 'k', f'k.{METADATA}']


async def test_concurrent_reads_while_a_key_is_rewritten_are_whole():
    writer, reader = await open_store(name='rw'), await open_store(name='rw')
    await writer.set_value(key='k', value={'lines': [], 'count': 0})

    async def write():
        for count in range(60):
            await writer.set_value(key='k', value={'lines': ['x'] * count * 50, 'count': count * 50})

    async def read():
        for _ in range(100):
            found = await value(reader, 'k')
            assert len(found['lines']) == found['count']

    await asyncio.gather(write(), read())


async def test_the_public_url_is_that_of_the_file():
    store = await open_store(name='urls')
    await store.set_value(key='a b', value='x')
    url = await store.get_public_url(key='a b')
    assert url.startswith('file:/')
    assert url.endswith(f'/key_value_stores/urls/{quote(quote("a b", safe=""))}')


async def test_the_storage_is_left_without_temporaries():
    store = await open_store(name='tidy')
    for number in range(30):
        await store.set_value(key=f'k{number % 3}.json', value={'number': number})
        await store.delete_value(key=f'k{(number + 1) % 3}.json')
    assert not [name for name in files(store) if name.endswith(('.tmp', '.lock'))]
