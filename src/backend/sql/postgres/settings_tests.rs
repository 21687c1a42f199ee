//! What is said of a server: by URLs as people have them in their crawler's code, and what goes before what.

use std::ffi::OsStr;

use super::*;
use crate::backend::source::{Source, SqlSource};

/// What a URL says, by libpq's names.
fn said(url: &str) -> Vec<String> {
    let source = Source::parse(OsStr::new(url)).unwrap();
    let Some(SqlSource::Postgres(source)) = source.sql() else { panic!("{url}") };
    let settings = settings(source.settings(), &|_| None).unwrap();
    settings.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

#[test]
fn urls_of_crawlers_are_accepted_as_they_stand() {
    for scheme in ["postgresql", "postgres"] {
        for driver in ["", "+asyncpg", "+psycopg", "+psycopg2"] {
            let url = format!("{scheme}{driver}://anne:p%40ss@db:6000/crawl");
            let wanted = ["dbname=crawl", "host=db", "password=p@ss", "port=6000", "user=anne"];
            assert_eq!(said(&url), wanted);
        }
    }
    assert_eq!(said("postgresql://"), [""; 0]);
    assert_eq!(said("postgres://[::1]:5/d"), ["dbname=d", "host=::1", "port=5"]);
    assert_eq!(said("postgres://a:1,b,c:3/d"), ["dbname=d", "host=a,b,c", "port=1,,3"]);
    assert_eq!(said("postgres://%2Ftmp%2Fs/d"), ["dbname=d", "host=/tmp/s"]);
    assert_eq!(said("postgres:///d?host=/tmp/s&user=u"), ["dbname=d", "host=/tmp/s", "user=u"]);
    assert_eq!(said("postgres:///d?host=a:1&host=b:2"), ["dbname=d", "host=a,b", "port=1,2"]);
    assert_eq!(said("postgres://h?database=d"), ["dbname=d", "host=h"]);
    assert_eq!(said("postgres://h?tcp_user_timeout=5"), ["host=h", "tcp_user_timeout=5"]);
    for (ssl, mode) in [("true", "require"), ("0", "disable"), ("verify-full", "verify-full")] {
        assert_eq!(
            said(&format!("postgres://h?ssl={ssl}")),
            ["host=h", &format!("sslmode={mode}")]
        );
    }
    for of_driver in ["prepared_statement_cache_size=0", "command_timeout=5", "timeout=5"] {
        assert_eq!(said(&format!("postgres+asyncpg://h?{of_driver}")), ["host=h"]);
    }
}

#[test]
fn what_is_not_understood_is_named_without_its_value() {
    let unknown = |name: &str| Settings::from([(name.to_owned(), "secret".to_owned())]);
    for name in ["require_auth", "sslcrl", "pasword"] {
        let error = settings(unknown(name), &|_| None).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(name) && !shown.contains("secret"), "{shown}");
    }
}

#[test]
fn the_source_goes_before_the_service_and_that_before_the_environment() {
    let dir = tempfile::Builder::new().prefix("storefs-test-").tempdir().unwrap();
    let file = dir.path().join("services");
    std::fs::write(&file, "[crawl]\nhost=of-service\nuser=of-service\n").unwrap();
    let environment = |name: &str| match name {
        "PGSERVICE" => Some("crawl".to_owned()),
        "PGSERVICEFILE" => Some(file.display().to_string()),
        "PGHOST" | "PGUSER" | "PGDATABASE" | "PGPASSWORD" => Some("of-environment".to_owned()),
        _ => None,
    };
    let settings =
        settings(Settings::from([("user".to_owned(), "of-source".to_owned())]), &environment)
            .unwrap();
    let get = |name: &str| settings.get(name).map(String::as_str);
    assert_eq!(get("user"), Some("of-source"));
    assert_eq!(get("host"), Some("of-service"));
    assert_eq!(get("dbname"), Some("of-environment"));
    assert_eq!(get("password"), Some("of-environment"));
}
