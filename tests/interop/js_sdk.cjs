'use strict';

/*
 * Drives Crawlee JS 3 on a storage directory, for the tests with the SDKs. Mostly each run is a fresh process,
 * since that SDK reads a store's directory only once.
 *
 *     js_sdk.cjs dump STORAGE STORE    every record that listKeys gives, as getRecord reads it
 *     js_sdk.cjs fill STORAGE STORE    set the records given on standard input: [{key, value | hex, contentType}]
 *     js_sdk.cjs serve STORAGE STORE   keep the store open and obey commands, one on each line of input
 *     js_sdk.cjs items STORAGE NAME    the items of a dataset, and those after one more was pushed
 *     js_sdk.cjs input                 what Actor.getInput() gives to a run that starts now; the storage and
 *                                      the input key are those of the environment
 *
 * Everything is answered as JSON on standard output. A record is {"key", "content_type", "type", "value"};
 * "type" is "string", "object", "number" or "Buffer", and a Buffer comes as "hex" in place of "value".
 */

const { readFileSync, readdirSync } = require('node:fs');
const { join } = require('node:path');
const { createInterface } = require('node:readline');
const { setTimeout: sleep } = require('node:timers/promises');

const PAGE = 1000;

const openStorage = (storage) => {
    const { MemoryStorage } = require('@crawlee/memory-storage');
    // No metadata, as in an ordinary run; otherwise the variable DEBUG would decide.
    return new MemoryStorage({ localDataDirectory: storage, writeMetadata: false });
};

const openStore = async (storage, name) => {
    const client = openStorage(storage);
    const { id } = await client.keyValueStores().getOrCreate(name);
    return client.keyValueStore(id);
};

const describe = (key, record) => {
    if (!record) return { key, type: null };
    const { value, contentType } = record;
    const answer = { key, content_type: contentType };
    return Buffer.isBuffer(value)
        ? { ...answer, type: 'Buffer', hex: value.toString('hex') }
        : { ...answer, type: typeof value, value };
};

const dump = async (store) => {
    const records = [];
    let exclusiveStartKey;
    let page;
    do {
        page = await store.listKeys({ limit: PAGE, exclusiveStartKey });
        for (const { key } of page.items) records.push(describe(key, await store.getRecord(key)));
        exclusiveStartKey = page.nextExclusiveStartKey;
    } while (page.isTruncated);
    return records;
};

const fill = async (store, records) => {
    for (const { key, value, hex, contentType } of records) {
        await store.setRecord({ key, value: hex === undefined ? value : Buffer.from(hex, 'hex'), contentType });
    }
    return null;
};

/**
 * What the SDK does when a run starts. It removes what it has moved aside after it has returned; where somebody who
 * had the old directory open puts a file there meanwhile, it gives up, and the next run removes it.
 */
const purge = async (storage) => {
    const stores = join(storage, 'key_value_stores');
    const isLeft = () => readdirSync(stores).some((name) => name.startsWith('__'));
    do {
        await openStorage(storage).purge();
        for (let waits = 0; waits < 1000 && isLeft(); waits++) await sleep(1);
    } while (isLeft());
    return null;
};

const obey = async (storage, name, store, command) => {
    if ('get' in command) return describe(command.get, await store.getRecord(command.get));
    if ('set' in command) return fill(store, [{ ...command, key: command.set }]);
    if ('delete' in command) return (await store.deleteRecord(command.delete)) ?? null;
    if ('keys' in command) return (await dump(store)).map(({ key }) => key);
    if ('purge' in command) return purge(storage);
    if ('drop' in command) return (await store.delete()) ?? null;
    throw new Error(`unknown command ${JSON.stringify(command)}`);
};

const serve = async (storage, name) => {
    let store = await openStore(storage, name);
    const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);
    say('ready');
    for await (const line of createInterface({ input: process.stdin })) {
        const command = JSON.parse(line);
        try {
            // A client that knows nothing of the store yet, as a run that starts now would have.
            if ('reopen' in command) store = await openStore(storage, name);
            say({ ok: 'reopen' in command ? null : await obey(storage, name, store, command) });
        } catch (error) {
            say({ error: `${error}` });
        }
    }
    return null;
};

const items = async (storage, name) => {
    const client = openStorage(storage);
    const { id } = await client.datasets().getOrCreate(name);
    const before = (await client.dataset(id).listItems()).items;
    await client.dataset(id).pushItems([{ pushed: true }]);
    const after = (await client.dataset(id).listItems()).items;
    await client.teardown();
    return { before, after };
};

const actorInput = async () => {
    const { Actor } = require('apify');
    await Actor.init();
    const value = await Actor.getInput();
    await Actor.exit({ exit: false });
    return { type: typeof value, value };
};

const main = async ([command, storage, name]) => {
    switch (command) {
        case 'dump': return dump(await openStore(storage, name));
        case 'fill': return fill(await openStore(storage, name), JSON.parse(readFileSync(0, 'utf8')));
        case 'serve': return serve(storage, name);
        case 'items': return items(storage, name);
        case 'input': return actorInput();
        default: throw new Error(`unknown command ${command}`);
    }
};

main(process.argv.slice(2)).then(
    // The SDK keeps timers: without an explicit exit the process would wait for them.
    (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`, () => process.exit(0)),
    (error) => {
        console.error(error);
        process.exit(1);
    },
);
