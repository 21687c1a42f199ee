//! Servers that are gone, slow, busy, or cut off; and that come back.

use std::thread;
use std::time::Instant;

use super::proxy::Proxy;
use super::*;
use crate::backend::sql::database::Outcome;

const HASTY: PostgresOptions =
    PostgresOptions { read_only: false, timeout: Duration::from_millis(1500), connections: 2 };

/// How long something took, which must be no more than the deadline and some for a busy machine.
#[track_caller]
fn in_time<T>(limit: Duration, call: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = call();
    let taken = begun.elapsed();
    assert!(taken < limit + Duration::from_secs(4), "it took {taken:?}");
    done
}

fn through(proxy: &Proxy, name: &str, options: &PostgresOptions) -> PostgresDatabase {
    open(&format!("postgresql://postgres@127.0.0.1:{}/{name}", proxy.port()), options).unwrap()
}

#[test]
fn a_server_that_goes_and_comes_back_is_used_again() {
    let Some(server) = server::own(&[]) else { return };
    let name = server.database();
    let hasty = open(&server.url(&name), &HASTY).unwrap();
    let patient = opened(&server, &name);
    assert!(patient.create_store(&store("s")).unwrap());
    done(put(&hasty, "k", b"1", PutOver::Anything).unwrap());
    server.stop();
    let error = in_time(HASTY.timeout, || hasty.head("s", "k").unwrap_err());
    assert_eq!(kind(&error), BackendErrorKind::Unreachable, "{error}");
    let error = in_time(HASTY.timeout, || put(&hasty, "k", b"2", PutOver::Anything).unwrap_err());
    assert_eq!(kind(&error), BackendErrorKind::Unreachable, "{error}");
    assert!(!error.to_string().contains("not known"), "nothing was sent: {error}");
    let error = in_time(Duration::ZERO, || open(&server.url(&name), &PATIENT).unwrap_err());
    assert_eq!(kind(&error), BackendErrorKind::Unreachable, "{error}");
    // A call that has time enough waits for the server, with any condition: it was not sent.
    thread::scope(|scope| {
        let waiting = scope.spawn(|| put(&patient, "new", b"3", PutOver::Nothing));
        thread::sleep(Duration::from_millis(300));
        server.start_again();
        done(waiting.join().unwrap().unwrap());
    });
    assert_eq!(opened_record(&hasty, "k").bytes.as_deref(), Some(&b"1"[..]));
}

#[test]
fn a_server_behind_another_port_is_found_by_the_next_call() {
    let Some(mut server) = server::own(&[]) else { return };
    let name = server.database();
    let proxy = Proxy::to(server.port());
    let database = through(&proxy, &name, &PATIENT);
    assert!(database.create_store(&store("s")).unwrap());
    server.stop();
    server.move_to_free_port();
    server.start_again();
    proxy.lead_to(server.port());
    assert!(database.store("s").unwrap().is_some());
}

#[test]
fn a_statement_that_waits_for_anothers_lock_ends() {
    let Some((server, name, _)) = with_store() else { return };
    let database = open(&server.url(&name), &HASTY).unwrap();
    thread::scope(|scope| {
        let holding = scope.spawn(|| {
            server.sql(
                &name,
                "BEGIN; LOCK TABLE key_value_store_records IN ACCESS EXCLUSIVE MODE; \
                 SELECT pg_sleep(5); ROLLBACK",
            )
        });
        let held = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted \
             AND relation = 'key_value_store_records'::regclass";
        while server.sql(&name, held) == "0" {
            thread::sleep(Duration::from_millis(10));
        }
        let error =
            in_time(HASTY.timeout, || put(&database, "k", b"1", PutOver::Anything).unwrap_err());
        assert_eq!(kind(&error), BackendErrorKind::Busy, "{error}");
        holding.join().unwrap();
    });
    done(put(&database, "k", b"1", PutOver::Anything).unwrap());
}

#[test]
fn who_finds_no_free_connection_is_told_in_time() {
    let Some((server, name, database)) = with_store() else { return };
    let version = done(put(&database, "k", &vec![7; 9 << 20], PutOver::Anything).unwrap()).version;
    let one = PostgresOptions { connections: 1, ..HASTY };
    let database = open(&server.url(&name), &one).unwrap();
    let mut asked = false;
    database
        .stream("s", "k", version.unwrap(), &mut |_| {
            if !asked {
                asked = true;
                let error = in_time(one.timeout, || database.head("s", "k").unwrap_err());
                assert_eq!(kind(&error), BackendErrorKind::Busy, "{error}");
            }
            Ok(())
        })
        .unwrap();
    assert!(asked);
    found(database.head("s", "k").unwrap());
}

#[test]
fn a_silent_network_is_not_waited_for_beyond_the_deadline() {
    let Some((server, name, _)) = with_store() else { return };
    let proxy = Proxy::to(server.port());
    let database = through(&proxy, &name, &HASTY);
    done(put(&database, "k", b"1", PutOver::Anything).unwrap());
    proxy.stall(true);
    let error = in_time(HASTY.timeout, || database.head("s", "k").unwrap_err());
    assert_eq!(kind(&error), BackendErrorKind::TimedOut, "{error}");
    let error =
        in_time(HASTY.timeout, || put(&database, "k", b"2", PutOver::Anything).unwrap_err());
    assert_eq!(kind(&error), BackendErrorKind::TimedOut, "{error}");
    proxy.stall(false);
    found(database.head("s", "k").unwrap());
    assert_eq!(database.delete("s", "k").unwrap(), Outcome::Done);
}

#[test]
fn a_stream_that_is_cut_goes_on_from_where_it_was() {
    let Some((server, name, database)) = with_store() else { return };
    let mut value = vec![0; 12 << 20];
    getrandom::fill(&mut value).unwrap();
    let version = done(put(&database, "k", &value, PutOver::Anything).unwrap()).version.unwrap();
    let proxy = Proxy::to(server.port());
    let database = through(&proxy, &name, &PATIENT);
    found(database.head("s", "k").unwrap());
    proxy.cut_after(5 << 20);
    let mut bytes = Vec::new();
    database
        .stream("s", "k", version, &mut |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })
        .unwrap();
    assert!(!proxy.is_about_to_cut());
    assert!(bytes == value);
}

#[test]
fn what_may_have_been_done_is_repeated_only_where_that_changes_nothing() {
    let Some((server, name, direct)) = with_store() else { return };
    let proxy = Proxy::to(server.port());
    let one = PostgresOptions { connections: 1, ..PATIENT };
    let database = through(&proxy, &name, &one);
    // Prepares the statements, so that the next answer is the put's.
    for over in [PutOver::Anything, PutOver::Nothing] {
        put(&database, "warm", b"1", over).unwrap();
    }
    database.delete("s", "none").unwrap();

    proxy.cut_after(0);
    done(put(&database, "anything", b"1", PutOver::Anything).unwrap());
    assert!(!proxy.is_about_to_cut());

    put(&database, "warm", b"1", PutOver::Nothing).unwrap();
    proxy.cut_after(0);
    let error = put(&database, "nothing", b"1", PutOver::Nothing).unwrap_err();
    assert_eq!(kind(&error), BackendErrorKind::Unreachable, "{error}");
    assert!(error.to_string().contains("not known"), "{error}");
    let mut keys: Vec<_> =
        direct.page("s", None, 9).unwrap().unwrap().into_iter().map(|row| row.key).collect();
    keys.sort();
    assert_eq!(keys, ["anything", "nothing", "warm"]);

    database.delete("s", "none").unwrap();
    proxy.cut_after(0);
    assert_eq!(database.delete("s", "nothing").unwrap(), Outcome::Done);
    assert!(matches!(direct.head("s", "nothing").unwrap(), Lookup::NoRecord));
}
