//! The tests' own tools: servers, the other side, and the network between, before anything is mounted.

use std::time::Duration;

use serde_json::json;

use crate::common::buckets::{self, Who};
use crate::common::{fixture, temp_dir, tree};
use crate::database::{Database, STORE};
use crate::proxy::{Fault, Proxy, counted};
use crate::weed::Cluster;

#[test]
fn the_other_side_reads_what_it_writes_through_the_proxy() {
    let Some(server) = buckets::shared() else { return };
    let proxy = Proxy::to(server.port());
    let direct = Database::at(server.place());
    let through = Database::at(direct.place.through(proxy.port()));
    let mut objects = through.objects();
    let large = vec![b'x'; 3_000_000];
    let (_, asked) = proxy.during(|| {
        objects.put("k", b"value", "text/x-own");
        objects.put("large", &large, "application/octet-stream");
        assert_eq!(objects.get("k").unwrap().content_type, "text/x-own");
        assert!(objects.get("large").unwrap().bytes == large);
        assert!(objects.get("none").is_none());
        assert_eq!(objects.head("k")["size"], 5);
        assert_eq!(objects.keys(""), ["k", "large"]);
        objects.delete("k");
    });
    assert_eq!(counted(&asked), "DELETE 1, GET 3, HEAD 1, LIST 1, PUT 2", "{asked:?}");
    assert_eq!(direct.objects().keys(""), ["large"]);
}

#[test]
fn the_proxy_makes_the_trouble_that_is_wanted() {
    let Some(server) = buckets::shared() else { return };
    let proxy = Proxy::to(server.port());
    let direct = Database::at(server.place());
    let through = Database::at(direct.place.through(proxy.port()));
    let mut client = through.client("s").unwrap();
    let large = json!({"hex": "61".repeat(1_000_000)});
    client.set("k", &large);
    for (fault, said) in [
        (Fault::Answered(503, "SlowDown"), "SlowDown"),
        (Fault::Refused, ""),
        (Fault::AnswerLost, ""),
        (Fault::AnswerCut(300_000), ""),
    ] {
        proxy.befall(1, |request| request.is_for("/k") && request.method == "GET", fault);
        let failed = client.try_ask(&json!({"get": "k"})).unwrap_err();
        assert!(failed.contains(said), "{fault:?}: {failed}");
        assert_eq!(proxy.to_come(), 0, "{fault:?}");
        assert!(client.get("k")["hex"] == large["hex"], "after {fault:?}");
    }
    proxy.befall(1, |request| request.is_for("/k"), Fault::RequestCut(300_000));
    let other = json!({"hex": "62".repeat(1_000_000)});
    assert!(client.try_ask(&json!({"set": "k", "value": other})).is_err());
    assert!(client.get("k")["hex"] == large["hex"]);

    proxy.delay(Duration::from_millis(150), Duration::from_millis(150));
    let begun = std::time::Instant::now();
    client.get("k");
    assert!(begun.elapsed() >= Duration::from_millis(600), "two requests, two ways each");
}

#[test]
fn each_may_what_he_may() {
    let Some(server) = buckets::shared() else { return };
    let all = Database::at(server.place().at(buckets::PART));
    all.objects().put("k", b"value", "text/plain");
    let may = |db: &Database| {
        let mut objects = db.objects();
        let reads = objects.ask_or_denied(&json!({"do": "get", "key": "k"}));
        let lists = objects.ask_or_denied(&json!({"do": "listed"}));
        (reads, lists, objects.try_put("new", b"x", "text/plain").is_ok())
    };
    let by = |who| Database::at(all.place.by(who));
    assert_eq!(may(&by(Who::All)), (true, true, true));
    assert_eq!(may(&by(Who::Reader)), (true, true, false));
    assert_eq!(may(&by(Who::Part)), (true, true, true));
    assert_eq!(may(&by(Who::Impostor)), (false, false, false));
    let elsewhere = server.place().by(Who::Part);
    assert!(Database::at(elsewhere).objects().try_put("k", b"x", "text/plain").is_err());
}

/// The one keeps conditions, the other does not: what the tests take for granted.
#[test]
fn one_server_keeps_conditions_and_one_does_not() {
    let servers = [(buckets::shared(), true), (buckets::shared_without_conditions(), false)];
    for (server, is_kept) in servers {
        let Some(server) = server else { return };
        let mut objects = Database::at(server.place()).objects();
        objects.put("k", b"value", "text/plain");
        let stale = json!({"do": "put", "key": "k", "value": "x", "only_if": "\"stale\""});
        assert_eq!(objects.ask_or_refused(&stale), !is_kept);
    }
}

#[test]
fn trees_go_there_and_back_by_either_program() {
    let Some(server) = buckets::shared() else { return };
    for name in ["python/odd-keys", "js-v3/plain", "crawlee-storage-v4/values"] {
        let (from, expected) = (fixture(name), tree(&fixture(name)));
        let from = from.to_str().unwrap();
        let (by_aws, by_rclone) = (Database::at(server.place()), Database::at(server.place()));
        by_aws.aws(&["s3", "sync", "--quiet", from, &by_aws.url()]);
        by_rclone.rclone(&["copy", from, &by_rclone.remote()]);
        // Each takes home what the other has brought.
        let home = temp_dir();
        by_aws.rclone(&["copy", &by_aws.remote(), home.path().to_str().unwrap()]);
        assert!(tree(home.path()) == expected, "{name}");
        let home = temp_dir();
        let to = home.path().to_str().unwrap();
        by_rclone.aws(&["s3", "sync", "--quiet", &by_rclone.url(), to]);
        assert!(tree(home.path()) == expected, "{name}");
        assert_eq!(by_aws.objects().keys("").len(), expected.len());
    }
}

#[test]
fn the_client_keeps_a_store_as_files_would_be() {
    let Some(server) = buckets::shared() else { return };
    let db = Database::at(server.place());
    let mut client = db.client(STORE).unwrap();
    client.set("k ey", &json!({"a": 1}));
    client.set("text", &json!("text"));
    client.set("INPUT", &json!({"hex": "00ff"}));
    assert_eq!(client.get("k ey")["value"], json!({"a": 1}));
    assert_eq!(client.get("INPUT")["hex"], "00ff");
    assert_eq!(client.keys(), ["INPUT", "k ey", "text"].map(str::to_owned).into());
    assert_eq!(db.record("text").unwrap(), (b"text".to_vec(), "text/plain; charset=utf-8".into()));
    assert_eq!(db.size_of("text"), 4);
    db.put("put", b"{}", "application/json");
    assert_eq!(client.get("put")["content_type"], "application/json");
    client.ask(&json!({"hammer": "text", "values": ["a", "b"], "times": 3}));
    assert_eq!(client.get("text")["value"], "a");
    client.ask(&json!({"delete": "text"}));
    assert!(db.record("text").is_none());
    client.ask(&json!({"purge": 1}));
    assert_eq!(client.keys(), ["INPUT".to_owned()].into());
    db.remove_records();
    assert_eq!(client.keys().len(), 0);
    client.ask(&json!({"drop": 1}));
    assert!(db.is_empty());
    let fill = json!({"do": "fill", "prefix": "key_value_stores/full", "count": 700, "value": "x"});
    let mut objects = db.objects();
    objects.ask(&fill);
    assert_eq!(objects.keys("").len(), 1400);
    objects.ask(&json!({"do": "upload", "key": "begun", "value": "x"}));
    assert_eq!(objects.ask(&json!({"do": "uploads"})), json!(["begun"]));
}

#[test]
fn a_cluster_goes_on_without_one_of_its_servers() {
    let Some(cluster) = Cluster::start() else { return };
    let by = |gateway| Database::at(cluster.place(gateway));
    let (first, second) = (by(0), by(1));
    first.objects().put("k", b"value", "text/plain");
    let mut objects = Database::at(second.place.at(&first.place.prefix)).objects();
    assert_eq!(objects.get("k").unwrap().bytes, b"value");
    cluster.kill("volume-1");
    assert_eq!(objects.get("k").unwrap().bytes, b"value");
    cluster.start_again("volume-1");
    cluster.kill("s3-0");
    assert_eq!(objects.get("k").unwrap().bytes, b"value");
    cluster.start_again("s3-0");
    assert_eq!(first.objects().get("k").unwrap().bytes, b"value");
}
