'use strict';

/*
 * Puts an unmodified Crawlee JS 3 through all kinds of storage, for tests/live/drop_in. The storage is where the
 * environment says, as in any project. What the SDK saw is printed as one line of JSON, which must be the same
 * wherever the storage is.
 */

const { existsSync, readdirSync } = require('node:fs');
const { join } = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');

const { Configuration, Dataset, KeyValueStore, RequestQueue, StorageManager, purgeDefaultStorages } = require('@crawlee/core');

const VALUES = [
    ['object', { a: [1, null, 'ü'] }],
    ['list', [1, 2]],
    ['text', 'grüße', { contentType: 'text/plain; charset=utf-8' }],
    ['bytes', Buffer.from([0, 255]), { contentType: 'application/octet-stream' }],
    ['page', '<p>x</p>', { contentType: 'text/html' }],
    ['with.dot', { odd: true }],
];

const shown = (value) => (Buffer.isBuffer(value) ? { hex: value.toString('hex') } : value);

const contents = async (store) => {
    const found = [];
    await store.forEachKey(async (key, index, { size }) => {
        found.push([key, size, shown(await store.getValue(key))]);
    });
    return found;
};

/** Forgets what this process knows of storages, as a new process would. */
const forget = () => {
    StorageManager.clearCache();
    Configuration.getStorageClient().keyValueStoresHandled?.splice(0);
    Configuration.getStorageClient().datasetClientsHandled?.splice(0);
    Configuration.getStorageClient().requestQueuesHandled?.splice(0);
};

const keyValueStores = async () => {
    const seen = {};
    for (const name of [undefined, 'named']) {
        const store = await KeyValueStore.open(name);
        for (const [key, value, options] of VALUES) await store.setValue(key, value, options);
        for (let number = 0; number < 20; number++) {
            await store.setValue('rewritten', { number, filler: 'x'.repeat(number * 700) });
        }
        await Promise.all([...Array(20).keys()].map((number) => store.setValue(`at-once-${number}`, { number })));
        await store.setValue('text', null);
        seen[name ?? 'default'] = await contents(store);
    }
    forget();
    seen.reopened = await contents(await KeyValueStore.open('named'));
    const dropped = await KeyValueStore.open('dropped');
    await dropped.setValue('gone', { soon: true });
    await dropped.drop();
    seen['made again'] = await contents(await KeyValueStore.open('dropped'));
    return seen;
};

const datasets = async () => {
    const dataset = await Dataset.open('items');
    await dataset.pushData({ single: true });
    await dataset.pushData([...Array(30).keys()].map((number) => ({ number })));
    const seen = { items: (await dataset.getData()).items };
    forget();
    seen.reopened = (await (await Dataset.open('items')).getData()).items.length;
    const dropped = await Dataset.open('gone');
    await dropped.pushData({ soon: true });
    await dropped.drop();
    return seen;
};

const requestQueues = async () => {
    const queue = await RequestQueue.open('queue');
    for (let number = 0; number < 10; number++) await queue.addRequest({ url: `http://127.0.0.1/${number}` });
    await queue.addRequest({ url: 'http://127.0.0.1/first' }, { forefront: true });
    const order = [];
    for (let request = await queue.fetchNextRequest(); request; request = await queue.fetchNextRequest()) {
        order.push(request.url);
        await queue.markRequestHandled(request);
    }
    const dropped = await RequestQueue.open('gone');
    await dropped.addRequest({ url: 'http://127.0.0.1/' });
    await dropped.drop();
    return { order: order.sort(), finished: await queue.isFinished() };
};

/** A purge removes what it has moved aside after it has returned. */
const untilRemoved = async () => {
    const stores = join(process.env.CRAWLEE_STORAGE_DIR, 'key_value_stores');
    while (existsSync(stores) && readdirSync(stores).some((name) => name.startsWith('__'))) await sleep(1);
};

const main = async () => {
    // What a run does at its start: the default storages are emptied, but for the input.
    await purgeDefaultStorages();
    await untilRemoved();
    const seen = { input: await (await KeyValueStore.open()).getValue('INPUT') };
    seen['key-value stores'] = await keyValueStores();
    seen.datasets = await datasets();
    seen['request queues'] = await requestQueues();
    await Configuration.getStorageClient().teardown();
    return seen;
};

main().then(
    (seen) => process.stdout.write(`${JSON.stringify(seen)}\n`, () => process.exit(0)),
    (error) => {
        console.error(error);
        process.exit(1);
    },
);
