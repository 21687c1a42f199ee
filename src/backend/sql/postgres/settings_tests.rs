//! Texts as people have them in their crawler's code.

use super::*;

fn none(_: &str) -> Option<String> {
    None
}

fn said(text: &str) -> Vec<String> {
    let settings = settings(text, &none).unwrap();
    settings.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

#[test]
fn texts_of_crawlers_are_accepted_as_they_stand() {
    for driver in ["", "+asyncpg", "+psycopg", "+psycopg2"] {
        for scheme in SCHEMES {
            let text = format!("{scheme}{driver}://anne:p%40ss@db:6000/crawl");
            assert_eq!(
                said(&text),
                ["dbname=crawl", "host=db", "password=p@ss", "port=6000", "user=anne"]
            );
        }
    }
    assert_eq!(said("postgresql://"), [""; 0]);
    assert_eq!(said("postgresql://u:a@b@h/d"), ["dbname=d", "host=h", "password=a@b", "user=u"]);
    assert_eq!(said("postgres://[::1]:5/d"), ["dbname=d", "host=::1", "port=5"]);
    assert_eq!(said("postgres://a:1,b,c:3/d"), ["dbname=d", "host=a,b,c", "port=1,,3"]);
    assert_eq!(said("postgres://%2Ftmp%2Fs/d"), ["dbname=d", "host=/tmp/s"]);
    assert_eq!(said("postgres:///d?host=/tmp/s&user=u"), ["dbname=d", "host=/tmp/s", "user=u"]);
    assert_eq!(said("postgres:///d?host=a:1&host=b:2"), ["dbname=d", "host=a,b", "port=1,2"]);
    assert_eq!(said("postgres://h?ssl=true"), ["host=h", "sslmode=require"]);
    assert_eq!(said("postgres://h?ssl=verify-full"), ["host=h", "sslmode=verify-full"]);
    assert_eq!(said("postgres://h?prepared_statement_cache_size=0"), ["host=h"]);
}

#[test]
fn what_is_not_understood_is_named_without_its_value() {
    let refused = [
        "mysql://u:secret@h/d",
        "postgresql+pg8000://u:secret@h/d",
        "postgresql://u:secret@h/d?pasword=secret",
        "postgresql://u:secret@h/d?secret",
        "postgresql://u:secret%ff@h/d",
        "secret",
    ];
    for text in refused {
        let error = format!("{0} {0:?}", settings(text, &none).unwrap_err());
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn the_text_goes_before_the_service_and_that_before_the_environment() {
    let dir = tempfile::Builder::new().prefix("storefs-test-").tempdir().unwrap();
    let file = dir.path().join("services");
    std::fs::write(&file, "[crawl]\nhost=of-service\nuser=of-service\n").unwrap();
    let environment = |name: &str| match name {
        "PGSERVICE" => Some("crawl".to_owned()),
        "PGSERVICEFILE" => Some(file.display().to_string()),
        "PGHOST" | "PGUSER" | "PGDATABASE" | "PGPASSWORD" => Some("of-environment".to_owned()),
        _ => None,
    };
    let settings = settings("postgresql://of-text@/", &environment).unwrap();
    let get = |name: &str| settings.get(name).map(String::as_str);
    assert_eq!(get("user"), Some("of-text"));
    assert_eq!(get("host"), Some("of-service"));
    assert_eq!(get("dbname"), Some("of-environment"));
    assert_eq!(get("password"), Some("of-environment"));
}
