//! Each text with what it is taken for, and that no password is ever shown.

use std::ffi::OsString;

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Source> {
    Source::parse(OsStr::new(text))
}

#[cfg(feature = "postgres")]
fn shown(text: &str) -> String {
    parse(text).map_or_else(|error| panic!("{error}"), |source| source.shown())
}

fn refusal(text: &str) -> String {
    parse(text).map_or_else(|error| error.to_string(), |source| panic!("{text}: {source:?}"))
}

#[cfg(feature = "sqlite")]
fn directory() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("storefs-test-").tempdir().unwrap()
}

#[test]
fn a_path_is_a_path() {
    for text in
        ["storage", "./storage", "/a/b", "a:b", "/a/postgresql://h", "./mysql://h", "c/d:e", ""]
    {
        assert_eq!(parse(text).unwrap().directory(), Some(Path::new(text)), "{text}");
    }
    let bytes = OsString::from_vec(b"/a\xff".to_vec());
    assert_eq!(Source::parse(&bytes).unwrap().path(), Some(Path::new(&bytes)));
    for (text, path) in
        [("file:///a/b", "/a/b"), ("file:/a/b", "/a/b"), ("FILE://localhost/a%20b", "/a b")]
    {
        assert_eq!(parse(text).unwrap().directory(), Some(Path::new(path)), "{text}");
    }
    for text in ["file://host/a", "file:a", "file:", "file+x:///a"] {
        assert!(refusal(text).contains("file"), "{text}");
    }
}

#[test]
fn what_cannot_be_opened_says_what_there_is() {
    for (text, word) in [
        ("mysql://u:p@h/d", "MySQL or MariaDB"),
        ("mysql+pymysql://u:p@h/d", "MySQL or MariaDB"),
        ("mariadb+asyncmy://u:p@h/d", "MySQL or MariaDB"),
        ("redis://:p@h", "Redis"),
        ("apify:", "Apify platform"),
        ("apify:user~name", "Apify platform"),
        ("https://u:p@h/d", "a scheme that is not known"),
        ("DATABASE=postgresql://u:p@h/d", "no scheme that can be read"),
        ("1://h", "no scheme that can be read"),
    ] {
        let said = refusal(text);
        assert!(said.contains(word) && said.contains("there is a storage directory"), "{said}");
        assert!(!said.contains("u:p") && said.lines().count() == 1, "{said}");
    }
    let built_in = |name: &str| refusal("x://").contains(name);
    assert_eq!(built_in("sqlite:///"), cfg!(feature = "sqlite"));
    assert_eq!(built_in("postgresql://"), cfg!(feature = "postgres"));
    assert_eq!(built_in("s3://BUCKET/PREFIX"), cfg!(feature = "s3"));
}

#[cfg(not(feature = "s3"))]
#[test]
fn a_bucket_that_is_not_built_in_names_its_feature() {
    for text in ["s3://bucket/prefix", "S3://key:hunter2@bucket", "s3:hunter2"] {
        let said = refusal(text);
        assert!(said.contains("without the feature 's3'; there is a storage"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[cfg(feature = "s3")]
#[test]
fn a_bucket_is_read_as_it_stands() {
    for (text, bucket, prefix, shown) in [
        ("s3://bucket", "bucket", "", "s3://bucket"),
        ("S3://bucket/", "bucket", "", "s3://bucket"),
        ("s3://a-b.c9//", "a-b.c9", "", "s3://a-b.c9"),
        ("s3://Old_Bucket/p", "Old_Bucket", "p/", "s3://Old_Bucket/p"),
        ("s3://bucket/p/q///", "bucket", "p/q/", "s3://bucket/p/q"),
        ("s3://bucket/a%20b%2F/...", "bucket", "a%20b%2F/.../", "s3://bucket/a%20b%2F/..."),
        (
            "s3://bucket/a b+c@d:e#f/\u{e9}",
            "bucket",
            "a b+c@d:e#f/\u{e9}/",
            "s3://bucket/a b+c@d:e#f/\u{e9}",
        ),
    ] {
        let source = parse(text).unwrap();
        let found = source.bucket().unwrap();
        assert_eq!((found.bucket.as_str(), found.prefix.as_str()), (bucket, prefix), "{text}");
        assert_eq!(
            (source.shown().as_str(), parse(&source.shown()).unwrap().bucket()),
            (shown, Some(found))
        );
        assert_eq!((source.path(), source.directory(), source.sql().is_none()), (None, None, true));
        assert_eq!(concealed(OsStr::new(text)), None);
        let same = [source.absolute(), source.found().unwrap()];
        assert!(same.iter().all(|same| same.bucket() == Some(found)), "{text}");
    }
}

#[cfg(feature = "s3")]
#[test]
fn what_is_no_bucket_is_refused_without_being_repeated() {
    let long = format!("s3://hunter2/{}", "p".repeat(513));
    for (text, word) in [
        ("s3:", "write s3://BUCKET/PREFIX"),
        ("s3:hunter2", "write s3://BUCKET/PREFIX"),
        ("s3:/hunter2", "write s3://BUCKET/PREFIX"),
        ("s3://", "names no bucket"),
        ("s3:///hunter2", "names no bucket"),
        ("s3://ab", "names no bucket"),
        ("s3://-hunter2", "names no bucket"),
        ("s3://hunter2.", "names no bucket"),
        ("s3://hunter2..a", "names no bucket"),
        ("s3://hunter2%2e", "names no bucket"),
        ("s3://hunter2?region=x", "names no bucket"),
        ("s3://KEY:hunter2@bucket", "AWS_PROFILE"),
        ("s3://KEY:hunter2@bucket/prefix", "AWS_PROFILE"),
        ("s3://hunter2@bucket", "AWS_PROFILE"),
        ("s3://hunter2:9000/bucket", "AWS_ENDPOINT_URL"),
        ("s3://arn:aws:s3:us-east-1:123:accesspoint/hunter2", "more than a name"),
        ("s3://bucket/p?secret=hunter2", "question mark"),
        ("s3://bucket//hunter2", "empty part"),
        ("s3://bucket/a//hunter2", "empty part"),
        ("s3://bucket/../hunter2", "'..'"),
        ("s3://bucket/./hunter2", "'.'"),
        ("s3://bucket/hunter2\n", "control"),
        (&long, "512 bytes"),
        ("s3+boto3://hunter2", "driver"),
    ] {
        let said = refusal(text);
        assert!(said.contains(word) && said.contains("s3"), "{text}: {said}");
        assert!(!said.contains("hunter2") && said.lines().count() == 1, "{said}");
        assert!(!concealed(OsStr::new(text)).unwrap().contains("hunter2"), "{text}");
    }
    let bytes = OsString::from_vec(b"s3://bucket/\xff".to_vec());
    assert!(Source::parse(&bytes).is_err());
}

#[cfg(not(feature = "sqlite"))]
#[test]
fn sqlite_that_is_not_built_in_names_its_feature() {
    let said = refusal("sqlite:///a.db");
    assert!(said.contains("without the feature 'sqlite'; there is a storage"), "{said}");
}

#[cfg(not(feature = "postgres"))]
#[test]
fn postgres_that_is_not_built_in_names_its_feature() {
    let said = refusal("postgresql+asyncpg://u:hunter2@h/d");
    assert!(said.contains("without the feature 'postgres'; there is a storage"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[cfg(feature = "sqlite")]
#[test]
fn sqlite_has_three_slashes_for_a_relative_path_and_four_for_an_absolute_one() {
    for (text, path, read_only) in [
        ("sqlite:///rel.db", "rel.db", false),
        ("sqlite:///a/rel.db", "a/rel.db", false),
        ("sqlite:////abs.db", "/abs.db", false),
        ("sqlite+aiosqlite:///storage/crawlee.db", "storage/crawlee.db", false),
        ("SQLite+pysqlite:////a/b.db?timeout=5&check_same_thread=false", "/a/b.db", false),
        ("sqlite:///file:a.db?mode=ro&uri=true", "a.db", true),
        ("sqlite:///a%20b.db?mode=rw", "a%20b.db", false),
    ] {
        let source = parse(text).unwrap();
        let Some(SqlSource::Sqlite(database)) = source.sql() else { panic!("{text}") };
        assert_eq!((database.path.as_path(), database.read_only), (Path::new(path), read_only));
        assert_eq!(parse(&source.absolute().shown()).unwrap().path(), source.absolute().path());
        assert_eq!(source.directory(), None, "{text}");
    }
    for (text, word) in [
        ("sqlite://", "in memory"),
        ("sqlite:///", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite:///file::memory:?uri=true", "in memory"),
        ("sqlite:///a.db?mode=memory&uri=true", "in memory"),
        ("sqlite:", "sqlite:///FILE"),
        ("sqlite:a.db", "sqlite:///FILE"),
        ("sqlite://a.db", "sqlite:///FILE"),
        ("sqlite://host/a.db", "sqlite:///FILE"),
        ("sqlite:///a.db?nolock=1", "parameter"),
        ("sqlite:///a.db?vfs=x&uri=true", "parameter"),
        ("sqlite+pysqlcipher://:p@/a.db", "driver"),
    ] {
        assert!(refusal(text).contains(word), "{text}: {}", refusal(text));
    }
}

#[cfg(feature = "sqlite")]
#[test]
fn what_is_at_a_path_is_found() {
    let root = directory();
    let root = fs::canonicalize(root.path()).unwrap();
    let at = |name: &str| root.join(name);
    let mut page = b"SQLite format 3\0".to_vec();
    page.resize(4096, 0);
    for (name, bytes) in
        [("a.db", &page[..]), ("pages", &[b'x'; 1024]), ("text", b"text"), ("empty.db", b"")]
    {
        fs::write(at(name), bytes).unwrap();
    }
    fs::create_dir(at("dir.db")).unwrap();
    std::os::unix::fs::symlink("a.db", at("link")).unwrap();
    let found = |name: &str| Source::from(at(name)).found();
    let by_url = |name: &str| parse(&format!("sqlite:///{}", at(name).display())).unwrap().found();
    let said = |found: Result<Source>| found.unwrap_err().to_string();
    assert_eq!(found("dir.db").unwrap().directory(), Some(at("dir.db").as_path()));
    for found in [found("a.db"), found("link"), by_url("a.db"), by_url("%61.db")] {
        let found = found.unwrap();
        assert_eq!((found.path(), found.directory()), (Some(at("a.db").as_path()), None));
        assert_eq!(found.shown(), at("a.db").display().to_string());
        found.check_header().unwrap();
    }
    assert!(found("missing").unwrap_err().is_not_found());
    for name in ["missing.db", "missing.SQLITE3"] {
        assert!(said(found(name)).contains("does not exist, and no database is made"));
    }
    assert!(said(by_url("missing")).contains("does not exist, and no database is made"));
    assert!(said(by_url("dir.db")).contains("no SQLite database"));
    for name in ["text", "empty.db"] {
        assert!(said(found(name)).contains("not a directory, nor an SQLite database"), "{name}");
    }
    assert!(said(found("text/x")).contains("is not a directory"));
    let error = found("pages").unwrap().check_header().unwrap_err();
    assert!(error.to_string().contains("not a directory, nor an SQLite database"), "{error}");
    assert!(!at("missing.db").exists() && !at("missing").exists());
}

#[cfg(feature = "postgres")]
fn postgres(text: &str) -> PostgresSource {
    match parse(text).unwrap().sql() {
        Some(SqlSource::Postgres(database)) => database.clone(),
        other => panic!("{other:?}"),
    }
}

#[cfg(feature = "postgres")]
#[test]
fn postgres_is_read_as_libpq_and_sqlalchemy_do() {
    for (text, expected) in [
        ("postgresql://u:p@h:5433/d", "postgresql://u@h:5433/d"),
        ("postgres://h/d", "postgresql://h/d"),
        ("postgresql+asyncpg://u:p%40ss%2F@h/d?ssl=require", "postgresql://u@h/d?sslmode=require"),
        ("postgresql+psycopg://u@h/d?application_name=x", "postgresql://u@h/d"),
        ("postgresql+psycopg2://u@h/d?prepared_statement_cache_size=0", "postgresql://u@h/d"),
        ("postgresql://", "postgresql://"),
        ("postgresql:///d?host=/run/pg&port=5433", "postgresql://%2Frun%2Fpg:5433/d"),
        ("postgresql://%2Frun%2Fpg/d", "postgresql://%2Frun%2Fpg/d"),
        ("postgresql:///d?user=u&password=p&host=a:1&host=b", "postgresql://u@a:1,b/d"),
        ("postgresql://a:1,b:2/d", "postgresql://a:1,b:2/d"),
        ("postgresql://a,b/d?port=7", "postgresql://a:7,b:7/d"),
        ("postgresql://u%20v@[::1]:5/d%2Fe", "postgresql://u%20v@[::1]:5/d%2Fe"),
        ("postgresql:///?service=mine&sslpassword=p", "postgresql://?service=mine"),
        ("POSTGRESQL://h/d", "postgresql://h/d"),
    ] {
        assert_eq!(shown(text), expected, "{text}");
        assert_eq!(shown(expected), expected);
    }
    let database = postgres("postgresql+asyncpg://u:p%40s%3As@h/d?options=-c+a%3Db&sslpassword=q");
    assert_eq!(database.password.as_ref().map(|password| password.reveal()), Some("p@s:s"));
    let parameters = [("options", "-c a=b"), ("sslpassword", "q")];
    assert_eq!(
        database.parameters,
        parameters.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    let relative = parse("postgresql://h/d?sslrootcert=ca.pem").unwrap().found().unwrap().shown();
    assert!(relative.contains("?sslrootcert=%2F") && relative.ends_with("ca.pem"), "{relative}");
}

#[cfg(feature = "postgres")]
#[test]
fn an_odd_url_of_postgres_is_refused_without_being_repeated() {
    for text in [
        "postgresql:u:hunter2@h",
        "postgresql:/u:hunter2@h/d",
        "postgresql://u:hunter2",
        "postgresql://u:p@hunter2@h/d",
        "postgresql://u:p/hunter2@h/d",
        "postgresql://u:1/hunter2@h/d",
        "postgresql://u:1?hunter2@h/d",
        "postgresql://u:1?a=hunter2@h/d",
        "postgresql://u:p@h/d?hunter2",
        "postgresql://u:p@h/d?hunter2=x",
        "postgresql://u:p@h/d?pasword=hunter2",
        "postgresql://u:p@h/d?password=x?hunter2",
        "postgresql://u:p@h:hunter2/d",
        "postgresql://u:p@h:0/d",
        "postgresql://u:%ffhunter2@h/d",
        "postgresql://u@h/d?port=1,2,3",
        "postgresql+hunter2://u@h/d",
    ] {
        let said = refusal(text);
        assert!(!said.contains("hunter2") && said.contains("postgresql"), "{said}");
        let hidden = concealed(OsStr::new(text)).unwrap();
        assert!(!hidden.contains("hunter2"), "{hidden}");
    }
}

#[test]
fn a_text_that_holds_no_password_is_shown_as_it_is() {
    for text in ["storage", "/a/b:c@d", "./a:b", "a//b", "my-store", "--json", "-o"] {
        assert_eq!(concealed(OsStr::new(text)), None, "{text}");
    }
}

/// What a text may have around a password, `PASSWORD` being that.
fn around() -> impl Strategy<Value = String> {
    let schemes = [
        "postgresql",
        "postgres",
        "postgresql+asyncpg",
        "postgresql+psycopg",
        "mysql+pymysql",
        "redis",
        "s3",
        "apify",
        "https",
        "sqlite+pysqlcipher",
        "postgresq1",
        "DATABASE=postgresql",
        " postgresql",
        "'postgresql",
    ];
    let begins = ["://", ":", ":/", "//", ":///"];
    let places = [
        "user:PASSWORD@host/db",
        ":PASSWORD@host:5432/db?sslmode=require",
        "user:PASSWORD@host",
        "user:PASSWORD",
        "user:PASSWORD@",
        "user@host/db?password=PASSWORD",
        "host/db?user=u&password=PASSWORD&sslmode=require",
        "host/db?sslpassword=PASSWORD",
        "host/db?options=PASSWORD",
        "user:PASSWORD@a:1,b:2/db",
        "user:PASSWORD@[::1]/db",
        "user:one:PASSWORD@host/db",
        "user:one@PASSWORD@host/db",
        "user:one/PASSWORD@host/db",
        "user:one?PASSWORD@host/db",
        "user:one&PASSWORD=two@host/db",
    ];
    let slices = (
        proptest::sample::select(schemes.to_vec()),
        proptest::sample::select(begins.to_vec()),
        proptest::sample::select(places.to_vec()),
    );
    slices.prop_map(|(scheme, begin, place)| format!("{scheme}{begin}{place}"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn no_password_is_ever_shown(around in around(), odd in "[!-~]{0,3}", escape in any::<bool>()) {
        let secret = "hunter2";
        let password = format!("{odd}{secret}{odd}");
        let password = if escape {
            percent_encoding::utf8_percent_encode(&password, percent_encoding::NON_ALPHANUMERIC).to_string()
        } else {
            password
        };
        let text = around.replace("PASSWORD", &password);
        let mut told: Vec<String> = concealed(OsStr::new(&text)).into_iter().collect();
        match parse(&text) {
            Ok(source) => {
                told.push(source.shown());
                told.push(format!("{source:?} {:?} {:?}", source.sql(), source.bucket()));
                // What is there, or is not, is told of the text that was given.
                if let Err(error) = source.found() {
                    told.push(format!("{error} {error:?}"));
                }
            }
            Err(error) => told.push(format!("{error} {error:?}")),
        }
        for told in told {
            prop_assert!(!told.contains(secret), "{text}: {told}");
        }
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn what_is_shown_of_a_database_is_a_source_of_it(
        user in "\\PC{0,8}", password in "\\PC{0,8}", host in "[a-z/:.]{1,8}", database in "\\PC{0,8}",
    ) {
        let escaped = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
        };
        let text = format!(
            "postgresql://{}:{}@{}/{}", escaped(&user), escaped(&password), escaped(&host), escaped(&database)
        );
        let source = postgres(&text);
        let again = postgres(&source.shown());
        prop_assert_eq!(PostgresSource { password: None, ..source }, again);
    }

    #[cfg(feature = "s3")]
    #[test]
    fn what_is_shown_of_a_bucket_is_a_source_of_it(rest in "(//)?[ -~]{0,20}", prefix in "[/.\\PC]{0,20}") {
        for text in [format!("s3:{rest}"), format!("s3://bucket/{prefix}")] {
            if let Ok(source) = parse(&text) {
                let shown = source.shown();
                prop_assert_eq!(parse(&shown).unwrap().shown(), shown.clone());
                prop_assert_eq!(shown.trim_end_matches('/'), text.trim_end_matches('/'));
            }
        }
    }
}
