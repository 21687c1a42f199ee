//! Mounts that come and go, many times.

use std::fs;

use crate::common::sh;
use crate::namespace::Place;

/// So often in an ordinary run; `STOREFS_CYCLES` says how often else.
const CYCLES: usize = 1000;

#[test]
fn p21_mounts_that_come_and_go_leave_nothing_behind() {
    let Some(place) = Place::new() else { return };
    let cycles = std::env::var("STOREFS_CYCLES").ok().map(|text| text.parse().unwrap());
    let cycles: usize = cycles.unwrap_or(CYCLES);
    let what_there_is = "
        # Processes, their descriptors and threads, mounts, and files that are no records.
        what_there_is() {
            echo processes $(pgrep -c storefs)
            echo mounts $(grep -c \" $PWD\" /proc/self/mountinfo)
            echo own descriptors $(ls /proc/$$/fd | wc -l)
            echo files $(find storage state m1 tmp | wc -l)
        }";
    let script = format!(
        "{what_there_is}
        mkdir state tmp; export XDG_STATE_HOME=$PWD/state TMPDIR=$PWD/tmp XDG_CACHE_HOME=$PWD/tmp
        cycle() {{
            storefs mount storage m1
            read -r word < m1/key_value_stores/default/hello
            [ $word = world ]
            echo $1 > m1/key_value_stores/default/counted
            storefs unmount m1
            [ $(cat storage/key_value_stores/default/counted) = $1 ]
        }}
        cycle first
        what_there_is > before
        for n in $(seq {cycles}); do cycle $n; done
        what_there_is > after
        diff before after"
    );
    place.run("", &script);
    let logs = sh("find state -type f | wc -l", place.path());
    assert!(logs.trim().parse::<usize>().unwrap() <= 2, "{logs} logs of one mountpoint");
    let after = fs::read_to_string(place.at("after")).unwrap();
    assert!(after.starts_with("processes 0\n"), "{after}");
}
