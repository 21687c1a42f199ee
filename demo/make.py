"""Makes demo/storage anew, as one run of a small scraper would leave it behind.

    cd demo && rm -rf storage && python make.py

Needs the packages of tests/interop/requirements.txt.
"""

import asyncio
import zlib
from pathlib import Path
from struct import pack

from apify import Actor

STORAGE = Path(__file__).parent / 'storage'
INPUT = '{\n  "startUrls": [{ "url": "https://shop.example.com/kettles" }],\n  "maxItems": 3\n}\n'
PAGE = '<!doctype html>\n<title>Kettles</title>\n<h1>3 kettles</h1>\n'
PRODUCTS = {
    'kettles/1042': {'name': 'Kettle 1.7 l', 'price': 39.9, 'currency': 'EUR', 'inStock': True},
    'kettles/1043': {'name': 'Travel kettle', 'price': 24.5, 'currency': 'EUR', 'inStock': False},
    'kettles/crème 2000': {'name': 'Crème 2000', 'price': 119.0, 'currency': 'EUR', 'inStock': True},
}


def png(red, green, blue):
    """A picture of one pixel."""

    def chunk(kind, data):
        return pack('>I', len(data)) + kind + data + pack('>I', zlib.crc32(kind + data))

    header = pack('>IIBBBBB', 1, 1, 8, 2, 0, 0, 0)
    pixel = zlib.compress(bytes([0, red, green, blue]))
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', pixel) + chunk(b'IEND', b'')


async def main():
    # The input is there before the run, placed by hand; the SDK adds its sidecar.
    store = STORAGE / 'key_value_stores' / 'default'
    store.mkdir(parents=True)
    (store / 'INPUT.json').write_text(INPUT)

    async with Actor(exit_process=False):
        await Actor.set_value('page.html', PAGE, content_type='text/html; charset=utf-8')
        await Actor.set_value('shot.png', png(0x2A, 0x6F, 0xDB), content_type='image/png')
        await Actor.set_value('OUTPUT', {'found': len(PRODUCTS), 'ok': True})
        products = await Actor.open_key_value_store(name='products')
        for key, product in PRODUCTS.items():
            await products.set_value(key, product)


if __name__ == '__main__':
    asyncio.run(main())
