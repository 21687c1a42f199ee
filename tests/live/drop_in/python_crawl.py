"""Crawls a site with crawlee-python's own crawler, for tests/live/drop_in.

    python_crawl.py URL

The storage is where the environment says, as in any project. Each page becomes an item of the default dataset, a
record of the default store and one of a named store. The number of pages is printed as JSON.
"""

import asyncio
import json
import sys
from datetime import timedelta

from crawlee import ConcurrencySettings, service_locator
from crawlee.crawlers import ParselCrawler, ParselCrawlingContext
from crawlee.storage_clients import FileSystemStorageClient
from crawlee.storages import KeyValueStore


async def main():
    service_locator.set_storage_client(FileSystemStorageClient())
    crawler = ParselCrawler(
        # A busy machine must not decide what the crawl finds, nor how long it takes.
        concurrency_settings=ConcurrencySettings(min_concurrency=8, desired_concurrency=8, max_concurrency=8),
        request_handler_timeout=timedelta(minutes=5),
        max_request_retries=10,
    )
    pages = await KeyValueStore.open(name='pages')

    @crawler.router.default_handler
    async def handle(context: ParselCrawlingContext) -> None:
        number = int(context.selector.css('title::text').get().removeprefix('Page '))
        await context.push_data({'number': number, 'url': context.request.url})
        await pages.set_value(f'page-{number}', await context.http_response.read(), content_type='text/html')
        default = await context.get_key_value_store()
        await default.set_value(f'facts-{number}', {'number': number, 'links': context.selector.css('a::attr(href)').getall()})
        await context.enqueue_links()

    statistics = await crawler.run([sys.argv[1]])
    print(json.dumps({'finished': statistics.requests_finished, 'failed': statistics.requests_failed}))


if __name__ == '__main__':
    asyncio.run(main())
