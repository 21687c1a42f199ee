//! What the crate that speaks S3 does by itself: the yardstick, and what fills a bucket.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, WriteMultipart};
use tokio::runtime::Runtime;

use crate::buckets::Place;
use crate::large::{self, MIB};
use crate::sys::Result;

/// So many requests are on their way at once where a row does not say how many, each of so many bytes.
const AT_ONCE: usize = 8;
const PART: u64 = 4 * MIB;
/// So many are while a bucket is filled.
const FILLING: usize = 32;

/// A bucket as the crate sees it.
pub(crate) struct Own {
    runtime: Runtime,
    store: Arc<AmazonS3>,
    prefix: String,
}

impl Own {
    /// Connections of its own, of which none is open yet.
    pub(crate) fn new(place: &Place) -> Result<Self> {
        // Whoever came first has chosen one that is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (key, secret) = place.who.keys();
        let store = AmazonS3Builder::new()
            .with_endpoint(place.endpoint())
            .with_allow_http(true)
            .with_region("us-east-1")
            .with_bucket_name(&place.bucket)
            .with_access_key_id(key)
            .with_secret_access_key(secret)
            .build()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        Ok(Self { runtime, store: Arc::new(store), prefix: place.prefix.clone() })
    }

    fn path(&self, name: &str) -> Path {
        Path::from(format!("{}/{name}", self.prefix))
    }

    /// Reads an object by ranges in parallel, and throws them away.
    pub(crate) fn read_large(&self, name: &str, size: u64) -> Result<()> {
        let path = self.path(name);
        let ranges = (0..size.div_ceil(PART)).map(|part| part * PART..size.min((part + 1) * PART));
        self.runtime.block_on(async {
            let mut pieces = futures_util::stream::iter(ranges)
                .map(|range: Range<u64>| self.store.get_range(&path, range))
                .buffered(AT_ONCE);
            let mut come = 0;
            while let Some(piece) = pieces.next().await {
                come += piece?.len() as u64;
            }
            if come == size { Ok(()) } else { Err(format!("{come} bytes of {size} came").into()) }
        })
    }

    /// Writes an object of so many bytes in parts.
    pub(crate) fn write_large(&self, name: &str, size: u64) -> Result<()> {
        let path = self.path(name);
        self.runtime.block_on(async {
            let upload = self.store.put_multipart(&path).await?;
            let mut upload = WriteMultipart::new_with_chunk_size(upload, 2 * PART as usize);
            for number in 0..size / MIB {
                upload.wait_for_capacity(AT_ONCE).await?;
                upload.put(Bytes::from(large::piece(number)));
            }
            upload.finish().await?;
            Ok(())
        })
    }

    /// Reads objects as a whole, so many at once.
    pub(crate) fn read(&self, names: &[String], at_once: usize) -> Result<()> {
        self.runtime.block_on(async {
            futures_util::stream::iter(names)
                .map(|name| {
                    let path = self.path(name);
                    async move { self.store.get(&path).await?.bytes().await }
                })
                .buffer_unordered(at_once)
                .try_for_each(|_| async { Ok(()) })
                .await?;
            Ok(())
        })
    }

    /// Writes objects, so many records at once: each its value, and then its sidecar.
    pub(crate) fn write(
        &self,
        store: &str,
        names: &[String],
        bytes: &[u8],
        at_once: usize,
    ) -> Result<()> {
        let bytes = Bytes::copy_from_slice(bytes);
        self.runtime.block_on(async {
            futures_util::stream::iter(names)
                .map(|name| {
                    let value = self.path(&format!("{store}/{name}"));
                    let sidecar = self.path(&format!("{store}/{name}.__metadata__.json"));
                    let text = format!(
                        "{{\n  \"key\": \"{name}\",\n  \"content_type\": \"application/octet-stream\",\n  \
                         \"size\": {}\n}}",
                        bytes.len()
                    );
                    let bytes = bytes.clone();
                    async move {
                        self.store.put(&value, bytes.into()).await?;
                        self.store.put(&sidecar, text.into()).await.map(drop)
                    }
                })
                .buffer_unordered(at_once)
                .try_for_each(|()| async { Ok(()) })
                .await?;
            Ok(())
        })
    }

    /// Makes a store as crawlee-python would, with these records.
    pub(crate) fn fill(&self, store: &str, names: &[String], bytes: &[u8]) -> Result<()> {
        let at = "2026-01-01T00:00:00.000000+00:00";
        let name = store.rsplit('/').next().unwrap_or_default();
        let text = format!(
            "{{\n  \"id\": \"{:0<17}\",\n  \"name\": \"{name}\",\n  \"accessed_at\": \"{at}\",\n  \
             \"created_at\": \"{at}\",\n  \"modified_at\": \"{at}\"\n}}",
            name.replace('-', "")
        );
        let path = self.path(&format!("{store}/__metadata__.json"));
        self.runtime.block_on(self.store.put(&path, text.into()))?;
        self.write(store, names, bytes, FILLING)
    }

    /// Lists all objects of a store; tells their number, without sidecars.
    pub(crate) fn list(&self, store: &str) -> Result<usize> {
        let prefix = self.path(store);
        self.runtime.block_on(async {
            let listed: Vec<_> = self.store.list(Some(&prefix)).try_collect().await?;
            // Some make objects for directories too.
            let is_value =
                |name: &str| name.starts_with("record-") && !name.ends_with("__metadata__.json");
            Ok(listed.iter().filter(|it| it.location.filename().is_some_and(is_value)).count())
        })
    }

    /// Bytes of an object, if it is there.
    pub(crate) fn size(&self, name: &str) -> Result<Option<u64>> {
        match self.runtime.block_on(self.store.head(&self.path(name))) {
            Ok(object) => Ok(Some(object.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Lists a store and removes in bulk what is there.
    pub(crate) fn remove(&self, store: &str) -> Result<()> {
        let prefix = self.path(store);
        self.runtime.block_on(async {
            let listed = self.store.list(Some(&prefix)).map_ok(|object| object.location).boxed();
            self.store.delete_stream(listed).try_for_each(|_| async { Ok(()) }).await?;
            Ok(())
        })
    }
}
