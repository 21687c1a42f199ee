'use strict';

/*
 * Crawls a site with Crawlee JS 3's own crawler, for tests/live/drop_in.
 *
 *     js_crawl.cjs URL
 *
 * The storage is where the environment says, as in any project. Each page becomes an item of the default dataset, a
 * record of the default store and one of a named store. The number of pages is printed as JSON.
 */

const { CheerioCrawler, Dataset, KeyValueStore } = require('@crawlee/cheerio');

const main = async (url) => {
    const pages = await KeyValueStore.open('pages');
    const crawler = new CheerioCrawler({
        // A busy machine must not decide what the crawl finds, nor how long it takes.
        minConcurrency: 8,
        maxConcurrency: 8,
        requestHandlerTimeoutSecs: 300,
        maxRequestRetries: 10,
        async requestHandler({ $, body, request, enqueueLinks, pushData }) {
            const number = Number($('title').text().replace('Page ', ''));
            await pushData({ number, url: request.url });
            await pages.setValue(`page-${number}`, body.toString(), { contentType: 'text/html' });
            const links = $('a').map((_, link) => $(link).attr('href')).get();
            await KeyValueStore.setValue(`facts-${number}`, { number, links });
            await enqueueLinks();
        },
    });
    const { requestsFinished, requestsFailed } = await crawler.run([url]);
    const { items } = await Dataset.getData();
    return { finished: requestsFinished, failed: requestsFailed, items: items.length };
};

main(process.argv[2]).then(
    (seen) => process.stdout.write(`${JSON.stringify(seen)}\n`, () => process.exit(0)),
    (error) => {
        console.error(error);
        process.exit(1);
    },
);
