'use strict';

/* Prints the seconds that Crawlee JS 3 takes to set and to get records: STORAGE STORE COUNT SIZE. */

const { MemoryStorage } = require('@crawlee/memory-storage');

const main = async (storage, name, count, size) => {
    const open = async () => {
        const client = new MemoryStorage({ localDataDirectory: storage, writeMetadata: false });
        const { id } = await client.keyValueStores().getOrCreate(name);
        return client.keyValueStore(id);
    };
    const store = await open();
    const keys = Array.from({ length: count }, (_, number) => `record-${String(number).padStart(7, '0')}`);
    const value = 'x'.repeat(size);
    const start = process.hrtime.bigint();
    for (const key of keys) await store.setRecord({ key, value, contentType: 'text/plain; charset=utf-8' });
    const between = process.hrtime.bigint();
    for (const key of keys) {
        const record = await store.getRecord(key);
        if (String(record.value) !== value) throw new Error(`${key} is not what was set`);
    }
    const end = process.hrtime.bigint();
    console.log(Number(between - start) / 1e9, Number(end - between) / 1e9);
};

const [storage, name, count, size] = process.argv.slice(2);
main(storage, name, Number(count), Number(size)).then(() => process.exit(0), (error) => {
    console.error(error);
    process.exit(1);
});
