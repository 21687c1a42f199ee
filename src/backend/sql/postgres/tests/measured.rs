//! What it takes. No test: run by name, with `--ignored --nocapture`, in a release build.

use std::thread;
use std::time::Instant;

use super::*;

#[test]
#[ignore = "measures"]
fn what_it_takes() {
    let Some((server, name, database)) = with_store() else { return };
    let value = vec![b'x'; 2048];
    for threads in [1, 8] {
        const EACH: u32 = 1000;
        let per_second = |what: &str, call: &(dyn Fn(u32, u32) + Sync)| {
            let begun = Instant::now();
            thread::scope(|scope| {
                for thread in 0..threads {
                    scope.spawn(move || (0..EACH).for_each(|it| call(thread, it)));
                }
            });
            let rate = f64::from(threads * EACH) / begun.elapsed().as_secs_f64();
            eprintln!("{what}, {threads} threads: {rate:.0}/s");
        };
        per_second("put 2 KiB, new", &|thread, it| {
            let key = format!("{threads}-{thread}-{it}");
            done(put(&database, &key, &value, PutOver::Anything).unwrap());
        });
        per_second("put 2 KiB, over", &|thread, it| {
            let key = format!("{threads}-{thread}-{it}");
            done(put(&database, &key, &value, PutOver::Anything).unwrap());
        });
        per_second("open 2 KiB", &|thread, it| {
            let opened = opened_record(&database, &format!("{threads}-{thread}-{it}"));
            assert_eq!(opened.bytes.unwrap().len(), 2048);
        });
    }
    server.sql(
        &name,
        "INSERT INTO key_value_store_records SELECT 'saaaaaaaaaaaaaaaa', 'many-' || g, 'abc', 'a/b', 3 \
         FROM generate_series(1, 100000) g",
    );
    for what in ["100,000 in pages of 1,000", "again", "after ANALYZE"] {
        if what.starts_with("after") {
            server.sql(&name, "ANALYZE");
        }
        let begun = Instant::now();
        let mut after: Option<String> = None;
        let mut count = 0;
        loop {
            let page = database.page("s", after.as_deref(), 1000).unwrap().unwrap();
            count += page.len();
            match page.last() {
                Some(last) if page.len() == 1000 => after = Some(last.key.clone()),
                _ => break,
            }
        }
        eprintln!("{what}: {count} records, {:?}", begun.elapsed());
    }
    let begun = Instant::now();
    server.sql(&name, "SELECT key, content_type, size FROM key_value_store_records ORDER BY key");
    eprintln!("the same by psql: {:?}", begun.elapsed());
    let mut random = vec![0; 200_000_000];
    getrandom::fill(&mut random).unwrap();
    let line = b"a line that comes again and again, and a number\n";
    let repeated: Vec<u8> = line.iter().copied().cycle().take(random.len()).collect();
    for (what, value) in [("random", random), ("repeated", repeated)] {
        let begun = Instant::now();
        let row = done(put(&database, "large", &value, PutOver::Anything).unwrap());
        eprintln!("200 MB, {what}: in {:?}", begun.elapsed());
        for _ in 0..2 {
            let begun = Instant::now();
            let mut count = 0;
            database
                .stream("s", "large", row.version.unwrap(), &mut |part| {
                    count += part.len();
                    Ok(())
                })
                .unwrap();
            eprintln!("200 MB, {what}: out {count} in {:?}", begun.elapsed());
        }
        let begun = Instant::now();
        server.sql(
            &name,
            "\\copy (SELECT value FROM key_value_store_records WHERE key = 'large') TO '/dev/null' (FORMAT binary)",
        );
        eprintln!("200 MB, {what}: out by psql {:?}", begun.elapsed());
    }
    let peak = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = peak.lines().find(|line| line.starts_with("VmHWM")).unwrap().to_owned();
    eprintln!("{peak} (two values of 200 MB are held by this test)");
}
