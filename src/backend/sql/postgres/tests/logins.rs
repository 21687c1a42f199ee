//! Who is let in, and by what: passwords, sockets, and `sslmode` against a server with a certificate of its own.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use super::open_in;
use super::*;

const PASSWORD: &str = "s3cr:et/p\\w";
/// The same in a text.
const ENCODED: &str = "s3cr:et%2Fp%5Cw";

const HBA: &str = "local all all trust\n\
    hostnossl all needs_tls all reject\n\
    hostssl all hates_tls all reject\n\
    host all with_password all scram-sha-256\n\
    host all all all trust\n";

/// A server that speaks TLS, with roles that it lets in by different ways, and a database.
fn server_with_tls() -> Option<(Server, String)> {
    let server = server::own(&[])?;
    let name = server.database();
    server.sql(
        "postgres",
        &format!(
            "CREATE ROLE needs_tls LOGIN SUPERUSER; CREATE ROLE hates_tls LOGIN SUPERUSER; \
             CREATE ROLE with_password LOGIN SUPERUSER PASSWORD '{PASSWORD}'"
        ),
    );
    let directory = server.directory().to_owned();
    let data = directory.join("data");
    let owner = fs::metadata(&data).unwrap();
    for (ca, subject) in [("ca", "/CN=storefs test"), ("other", "/CN=another")] {
        openssl(
            &directory,
            &format!(
                "req -x509 -newkey rsa:2048 -nodes -keyout {ca}.key -out {ca}.crt -days 2 -subj"
            ),
            &[subject],
        );
    }
    openssl(
        &directory,
        "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj",
        &["/CN=localhost"],
    );
    fs::write(directory.join("san"), "subjectAltName=DNS:localhost\n").unwrap();
    openssl(
        &directory,
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile san -out server.crt",
        &[],
    );
    for file in ["server.key", "server.crt"] {
        let target = data.join(file);
        fs::copy(directory.join(file), &target).unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&target, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    fs::write(data.join("pg_hba.conf"), HBA).unwrap();
    server.sql("postgres", "ALTER SYSTEM SET ssl = on");
    server.reload();
    Some((server, name))
}

fn openssl(directory: &Path, arguments: &str, more: &[&str]) {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .args(more)
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn sslmode_is_what_libpq_means_by_it() {
    let Some((server, name)) = server_with_tls() else { return };
    let directory = server.directory().display().to_string();
    let roots = |file: &str| format!("&sslrootcert={directory}/{file}");
    let (ca, other, itself) = (roots("ca.crt"), roots("other.crt"), roots("server.crt"));
    let local = "localhost";
    let address = "127.0.0.1";
    // Who connects where by which mode, and whether TLS is used; `None` if he is not let in.
    let cases = [
        ("needs_tls", address, "disable".to_owned(), None),
        ("needs_tls", address, "allow".to_owned(), Some(true)),
        ("needs_tls", address, "prefer".to_owned(), Some(true)),
        ("needs_tls", address, "require".to_owned(), Some(true)),
        ("hates_tls", address, "disable".to_owned(), Some(false)),
        ("hates_tls", address, "allow".to_owned(), Some(false)),
        ("hates_tls", address, "prefer".to_owned(), Some(false)),
        ("hates_tls", address, "require".to_owned(), None),
        ("postgres", address, "allow".to_owned(), Some(false)),
        ("postgres", address, "prefer".to_owned(), Some(true)),
        ("postgres", address, format!("require{ca}"), Some(true)),
        ("postgres", address, format!("require{other}"), None),
        ("postgres", address, format!("verify-ca{ca}"), Some(true)),
        ("postgres", address, format!("verify-ca{other}"), None),
        ("postgres", address, format!("verify-ca{itself}"), Some(true)),
        ("postgres", address, "verify-ca".to_owned(), None),
        ("postgres", address, format!("verify-full{ca}"), None),
        ("postgres", local, format!("verify-full{ca}"), Some(true)),
        ("postgres", local, format!("verify-full{itself}"), Some(true)),
        ("postgres", address, format!("verify-full{itself}"), None),
        ("postgres", local, "verify-full".to_owned(), None),
        ("postgres", local, "nonsense".to_owned(), None),
    ];
    for (user, host, mode, wanted) in cases {
        let url = format!(
            "postgresql+asyncpg://{user}@{host}:{}/{name}?sslmode={mode}&application_name=it",
            server.port()
        );
        let used = open_in(&url, &PATIENT, &|_| None).ok().map(|_database| {
            let used = "SELECT bool_or(s.ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) \
                 WHERE a.application_name = 'it'";
            server.sql("postgres", used) == "t"
        });
        assert_eq!(used, wanted, "{user} at {host} by {mode}");
    }
}

#[test]
fn a_password_comes_from_where_libpq_has_it_and_is_never_shown() {
    let Some((server, name)) = server_with_tls() else { return };
    let port = server.port();
    let bare = format!("postgresql://with_password@127.0.0.1:{port}/{name}");
    let nothing = |_: &str| None;
    let error = open_in(&bare, &PATIENT, &nothing).unwrap_err();
    assert_eq!(kind(&error), BackendErrorKind::Denied, "{error}");

    let said = format!("postgresql://with_password:{ENCODED}@127.0.0.1:{port}/{name}");
    let database = open_in(&said, &PATIENT, &nothing).unwrap();
    assert!(!format!("{database:?}").contains("s3cr"));
    let variable = |name: &str| (name == "PGPASSWORD").then(|| PASSWORD.to_owned());
    open_in(&bare, &PATIENT, &variable).unwrap();

    let home = server.directory().join("home");
    fs::create_dir(&home).unwrap();
    let file = home.join(".pgpass");
    fs::write(&file, format!("127.0.0.1:{port}:*:with_password:s3cr\\:et/p\\\\w\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let home = home.display().to_string();
    open_in(&bare, &PATIENT, &|name| (name == "HOME").then(|| home.clone())).unwrap();

    let wrong = said.replace("s3cr", "s3crWRONG");
    let error = open_in(&wrong, &PATIENT, &nothing).unwrap_err();
    assert_eq!(kind(&error), BackendErrorKind::Denied);
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("s3cr") && shown.contains("with_password"), "{shown}");
    let elsewhere = said.replace(&port.to_string(), "1");
    let shown = format!("{0} {0:?}", open_in(&elsewhere, &PATIENT, &nothing).unwrap_err());
    assert!(!shown.contains("s3cr"), "{shown}");
}

#[test]
fn sockets_and_several_hosts_are_tried() {
    let Some((server, name, _)) = with_store() else { return };
    let (socket, port) = (server.directory().display(), server.port());
    for url in [
        format!("postgresql:///{name}?host={socket}&port={port}&user=postgres"),
        format!("postgresql://postgres@127.0.0.1:1,127.0.0.1:{port}/{name}"),
        format!("postgres://postgres@127.0.0.1:{port}/{name}?target_session_attrs=read-write"),
        format!("postgres://postgres@127.0.0.1:{port}/{name}?target_session_attrs=prefer-standby"),
        format!("postgres://postgres@127.0.0.1:{port}/{name}?options=-c%20work_mem%3D8MB"),
    ] {
        let database = open_in(&url, &PATIENT, &|_| None).unwrap();
        assert!(database.store("s").unwrap().is_some(), "{url}");
    }
    let reading =
        format!("postgres://postgres@127.0.0.1:{port}/{name}?target_session_attrs=standby");
    assert!(open_in(&reading, &PATIENT, &|_| None).is_err());
}
