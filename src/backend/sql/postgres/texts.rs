//! The statements, by what a database has.
//!
//! A change is one statement, so that it takes one round trip and is one transaction: first the store's row is locked
//! against being dropped and renamed (`s`), then the record is changed (`w`), then the buffered row is added (`b`). The
//! locks are those that a foreign key takes (`FOR KEY SHARE`): they hold up neither each other nor a client that folds.

use crate::backend::sql::schema::Schema;

/// What a server tells, of itself and of others' commits.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerTells {
    /// When a transaction was committed (`track_commit_timestamp`).
    pub(super) commits: bool,
    /// How a value was compressed (PostgreSQL 14).
    pub(super) compression: bool,
    /// That commits are told before they are durable (`synchronous_commit = off`).
    pub(super) commits_late: bool,
}

/// The statements on records.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) stores: String,
    pub(super) store: String,
    pub(super) changed: String,
    pub(super) touch: String,
    pub(super) drop_store: String,
    pub(super) replace_store: String,
    pub(super) purge_store: String,
    pub(super) first_page: String,
    pub(super) page: String,
    pub(super) head: String,
    pub(super) open: String,
    pub(super) parts: String,
    pub(super) put: Puts,
    /// The same with a value that was staged before.
    pub(super) put_staged: Puts,
    pub(super) set_type: String,
    pub(super) delete: String,
    pub(super) rename: String,
    pub(super) rename_to_nothing: String,
}

/// The statements that make a version, by what it may take the place of.
#[derive(Debug)]
pub(super) struct Puts {
    pub(super) anything: String,
    pub(super) nothing: String,
    pub(super) version: String,
}

/// Locks the store `$1`, if it is there.
const LOCKED_STORE: &str = "s AS (SELECT key_value_store_id AS id FROM key_value_stores \
     WHERE internal_name = $1 FOR KEY SHARE)";

/// What a version is: the transaction that made it.
const VERSION: &str = "r.xmin::text::bigint";

/// The table of a value that is staged, and of its only column.
pub(super) const STAGED: &str = "pg_temp.storefs_staged";

/// Creates the table of a staged value, which goes with the transaction. Its value is not compressed: where it goes to,
/// it is.
pub(super) const STAGE: &str = "CREATE TEMPORARY TABLE storefs_staged (value bytea) ON COMMIT DROP; \
     ALTER TABLE pg_temp.storefs_staged ALTER COLUMN value SET STORAGE EXTERNAL";

impl Texts {
    /// The statements for a database of this schema on this server.
    pub(super) fn new(schema: Schema, server: ServerTells) -> Self {
        let committed =
            if server.commits { "pg_xact_commit_timestamp(r.xmin)" } else { "NULL::timestamptz" };
        let row = format!(
            "r.key, octet_length(r.value)::int8 AS size, r.content_type, {VERSION} AS version, \
             {committed} AS committed"
        );
        let times = if schema.has_buffer {
            "LEFT JOIN (SELECT key_value_store_id, max(accessed_at) AS accessed_at, \
             max(modified_at) AS modified_at FROM key_value_store_metadata_buffer \
             GROUP BY key_value_store_id) b USING (key_value_store_id)"
        } else {
            ""
        };
        let time = |name: &str| {
            if schema.has_buffer {
                format!("GREATEST(k.{name}, b.{name})")
            } else {
                format!("k.{name}")
            }
        };
        let stores = format!(
            "SELECT k.key_value_store_id, k.internal_name, k.name, k.created_at, {}, {} \
             FROM key_value_stores k",
            time("accessed_at"),
            time("modified_at"),
        );
        let store_times = times.replace(
            "GROUP BY",
            "WHERE key_value_store_id = (SELECT key_value_store_id FROM key_value_stores \
             WHERE internal_name = $1) GROUP BY",
        );
        let buffered = |of: &str, accessed: &str, modified: &str| {
            buffered(schema.has_buffer, of, accessed, modified)
        };
        let of_change = buffered("s, w", "$5::timestamptz", "$5::timestamptz");
        let forgotten = |of: &str| {
            if schema.has_buffer {
                format!(
                    ", b AS (DELETE FROM key_value_store_metadata_buffer b USING {of} \
                     WHERE b.key_value_store_id = {of}.id)"
                )
            } else {
                String::new()
            }
        };
        let unlocked = if schema.has_lock { ", buffer_locked_until = NULL" } else { "" };
        let page = |condition: &str| {
            format!(
                "SELECT p.* FROM key_value_stores k LEFT JOIN LATERAL (SELECT {row} \
                 FROM key_value_store_records r WHERE r.key_value_store_id = k.key_value_store_id \
                 {condition} ORDER BY r.key LIMIT $2) p ON true WHERE k.internal_name = $1 \
                 ORDER BY p.key"
            )
        };
        let one = |more: &str| {
            format!(
                "SELECT {row}{more} FROM key_value_stores k LEFT JOIN key_value_store_records r \
                 ON r.key_value_store_id = k.key_value_store_id AND r.key = $2 \
                 WHERE k.internal_name = $1"
            )
        };
        Self {
            stores: format!("{stores} {times}"),
            store: format!("{stores} {store_times} WHERE k.internal_name = $1"),
            changed: changed(schema.has_buffer),
            touch: format!(
                "WITH {LOCKED_STORE}, {} SELECT count(*) FROM s",
                buffered("s", "$2::timestamptz", "$3::timestamptz")
            ),
            drop_store: format!(
                "WITH s AS (DELETE FROM key_value_stores k WHERE k.internal_name = $1 AND (NOT $2 \
                 OR NOT EXISTS (SELECT FROM key_value_store_records r \
                 WHERE r.key_value_store_id = k.key_value_store_id)) \
                 RETURNING k.key_value_store_id AS id){} SELECT count(*) FROM s",
                forgotten("s")
            ),
            replace_store: format!(
                "WITH s AS (SELECT key_value_store_id AS id FROM key_value_stores \
                 WHERE internal_name = $1 FOR UPDATE), \
                 k AS (UPDATE key_value_stores k SET key_value_store_id = $2, internal_name = $3, \
                 name = $4, created_at = $5, accessed_at = $6, modified_at = $7{unlocked} \
                 FROM s WHERE k.key_value_store_id = s.id), \
                 r AS (UPDATE key_value_store_records r SET key_value_store_id = $2 FROM s \
                 WHERE r.key_value_store_id = s.id AND s.id <> $2){} SELECT count(*) FROM s",
                forgotten("s")
            ),
            purge_store: format!(
                "WITH s AS (UPDATE key_value_stores SET accessed_at = $2, modified_at = $2{unlocked} \
                 WHERE key_value_store_id = $1 RETURNING key_value_store_id AS id){} \
                 SELECT count(*) FROM s",
                forgotten("s")
            ),
            first_page: page(""),
            page: page("AND r.key > $3"),
            head: one(""),
            open: one(&format!(
                ", CASE WHEN octet_length(r.value) <= $3 AND {VERSION} IS DISTINCT FROM $4 \
                 THEN r.value END AS value"
            )),
            parts: parts(server.compression),
            put: Puts::new("$7::bytea", &of_change),
            put_staged: Puts::new(&format!("(SELECT value FROM {STAGED})"), &of_change),
            set_type: format!(
                "WITH {LOCKED_STORE}, w AS (UPDATE key_value_store_records r SET content_type = $3 \
                 FROM s WHERE r.key_value_store_id = s.id AND r.key = $2 \
                 RETURNING octet_length(r.value)::int8 AS size, {VERSION} AS version), {} \
                 SELECT (SELECT count(*) FROM s), (SELECT size FROM w), (SELECT version FROM w)",
                buffered("s, w", "$4::timestamptz", "$4::timestamptz")
            ),
            delete: format!(
                "WITH {LOCKED_STORE}, w AS (DELETE FROM key_value_store_records r USING s \
                 WHERE r.key_value_store_id = s.id AND r.key = $2 RETURNING 1), {} \
                 SELECT (SELECT count(*) FROM s), (SELECT count(*) FROM w)",
                buffered("s, w", "$3::timestamptz", "$3::timestamptz")
            ),
            rename: rename(
                "d AS (DELETE FROM key_value_store_records r USING t, f \
                 WHERE r.key_value_store_id = t.id AND r.key = $4 RETURNING 1), ",
                "AND (SELECT count(*) FROM d) >= 0",
                &buffered(
                    "(SELECT DISTINCT s.id FROM s, w) s",
                    "$6::timestamptz",
                    "$6::timestamptz",
                ),
            ),
            rename_to_nothing: rename(
                "",
                "",
                &buffered(
                    "(SELECT DISTINCT s.id FROM s, w) s",
                    "$6::timestamptz",
                    "$6::timestamptz",
                ),
            ),
        }
    }
}

/// The parts of a value, each of `$5` bytes, from behind the byte `$4` on, of the version `$3` alone. Without a row, the
/// version is gone.
///
/// A value that was compressed is taken out of its storage once, as a whole, by the server: joining nothing to it is what
/// has it do so. A part of one that was not is read by itself. The join is lateral, so that the value is what the parts
/// are made of, and not the other way round.
fn parts(tells_compression: bool) -> String {
    let is_whole =
        if tells_compression { "pg_column_compression(r.value) IS NULL" } else { "false" };
    format!(
        "WITH v AS MATERIALIZED (SELECT CASE WHEN {is_whole} THEN r.value \
         ELSE r.value || ''::bytea END AS value \
         FROM key_value_stores k JOIN key_value_store_records r USING (key_value_store_id) \
         WHERE k.internal_name = $1 AND r.key = $2 AND {VERSION} = $3::int8) \
         SELECT substring(v.value FROM g.at FOR $5::int4) FROM v LEFT JOIN LATERAL \
         generate_series($4::int4 + 1, octet_length(v.value), $5::int4) AS g (at) ON true"
    )
}

/// When the store `$1` was changed last. If its id is `$2`, buffered rows up to the number `$3` are not looked at.
fn changed(has_buffer: bool) -> String {
    let buffered = if has_buffer {
        "(SELECT max(id)::int8 AS last, max(modified_at) AS at FROM key_value_store_metadata_buffer b \
         WHERE b.key_value_store_id = k.key_value_store_id \
         AND b.id > CASE WHEN k.key_value_store_id = $2::text THEN $3::int8 ELSE -1 END)"
    } else {
        "(SELECT NULL::int8 AS last, NULL::timestamptz AS at WHERE $2::text IS NULL AND $3::int8 IS NULL)"
    };
    format!(
        "SELECT k.key_value_store_id::text, b.last, GREATEST(k.modified_at, b.at) \
         FROM key_value_stores k LEFT JOIN LATERAL {buffered} b ON true WHERE k.internal_name = $1"
    )
}

impl Puts {
    /// Parameters: store, key, type, size, time, durable, then the value or a lone version.
    fn new(value: &str, buffered: &str) -> Self {
        let whole = |change: &str| {
            format!(
                "WITH {LOCKED_STORE}, w AS ({change} RETURNING {VERSION} AS version), {buffered} \
                 SELECT (SELECT count(*) FROM s), (SELECT version FROM w), \
                 CASE WHEN $6::bool AND current_setting('synchronous_commit') = 'off' \
                 THEN set_config('synchronous_commit', 'on', true) END"
            )
        };
        let inserted = format!(
            "INSERT INTO key_value_store_records AS r \
             (key_value_store_id, key, value, content_type, size) \
             SELECT s.id, $2::varchar, {value}, $3::varchar, $4::int4 FROM s \
             ON CONFLICT (key_value_store_id, key)"
        );
        let version = if value.starts_with('$') { "$8" } else { "$7" };
        Self {
            anything: whole(&format!(
                "{inserted} DO UPDATE SET value = EXCLUDED.value, \
                 content_type = EXCLUDED.content_type, size = EXCLUDED.size"
            )),
            nothing: whole(&format!("{inserted} DO NOTHING")),
            version: whole(&format!(
                "UPDATE key_value_store_records r SET value = {value}, content_type = $3, \
                 size = $4::int4 FROM s WHERE r.key_value_store_id = s.id AND r.key = $2 \
                 AND {VERSION} = {version}::int8"
            )),
        }
    }
}

/// Adds a buffered row for each store of `of`; where there is no buffer, moves the stores' own times forward.
fn buffered(has_buffer: bool, of: &str, accessed: &str, modified: &str) -> String {
    if has_buffer {
        format!(
            "b AS (INSERT INTO key_value_store_metadata_buffer \
             (key_value_store_id, accessed_at, modified_at) SELECT s.id, {accessed}, {modified} \
             FROM {of})"
        )
    } else {
        format!(
            "b AS (UPDATE key_value_stores k SET accessed_at = GREATEST(k.accessed_at, {accessed}), \
             modified_at = GREATEST(k.modified_at, {modified}) FROM {of} \
             WHERE k.key_value_store_id = s.id)"
        )
    }
}

/// Moves a record, over what `removed` removes.
fn rename(removed: &str, after: &str, buffered: &str) -> String {
    format!(
        "WITH s AS (SELECT key_value_store_id AS id, internal_name FROM key_value_stores \
         WHERE internal_name IN ($1, $3) ORDER BY key_value_store_id FOR KEY SHARE), \
         f AS (SELECT r.key_value_store_id AS id FROM key_value_store_records r \
         WHERE r.key_value_store_id = (SELECT id FROM s WHERE internal_name = $1) AND r.key = $2 \
         FOR UPDATE), \
         t AS (SELECT id FROM s WHERE internal_name = $3), {removed}\
         w AS (UPDATE key_value_store_records r SET key_value_store_id = t.id, key = $4, \
         content_type = $5 FROM f, t WHERE r.key_value_store_id = f.id AND r.key = $2 {after} \
         RETURNING octet_length(r.value)::int8 AS size, {VERSION} AS version), {buffered} \
         SELECT (SELECT count(*) FROM s WHERE internal_name = $1), (SELECT count(*) FROM t), \
         (SELECT size FROM w), (SELECT version FROM w)"
    )
}
