//! Sources that come up later.

use crate::namespace::Place;

#[test]
fn a_directory_that_is_not_there_yet_is_waited_for() {
    let Some(place) = Place::new() else { return };
    let printed = place.run(
        "HERE/later  HERE/m1  storefs  retry=2m  0 0\n",
        r"mount -a 2> said & mounting=$!
          until grep -q 'is waited for' said; do sleep 0.05; done
          grep -c ' fuse.storefs ' /proc/mounts || true
          mv storage later; wait $mounting; cat m1/key_value_stores/default/hello
          umount m1
          # Not for ever, and not for what will not come by itself.
          code=0; storefs mount --retry 0.2 missing m1 2> said || code=$?; echo $code; grep -o 'does not exist' said
          code=0; storefs mount --retry 1h later/key_value_stores m1 2> said || code=$?; echo $code; wc -l < said",
    );
    assert_eq!(printed, "0\nworld\n1\ndoes not exist\n1\n1\n");
}

#[cfg(feature = "postgres")]
#[test]
fn a_server_that_does_not_answer_yet_is_waited_for() {
    use std::fs;
    use std::time::Duration;

    use crate::common::{postgres, wait_until};

    let (Some(place), Some(server)) = (Place::new(), postgres::own(&[])) else { return };
    let database = server.database();
    server.stop();
    let said = place.at("said");
    std::thread::scope(|scope| {
        let starter = scope.spawn(|| {
            wait_until("the server is waited for", || {
                fs::read_to_string(&said).is_ok_and(|said| said.contains("is waited for"))
            });
            // Not by the first try after that.
            std::thread::sleep(Duration::from_millis(300));
            server.start_again();
        });
        let printed = place.run(
            &format!(
                "{}  HERE/m1  storefs  retry=50,log_file=HERE/said  0 0\n",
                server.url(&database)
            ),
            "mount -a; mkdir m1/key_value_stores/made; ls m1/key_value_stores; umount m1",
        );
        assert_eq!(printed, "made\n");
        starter.join().unwrap();
    });
}

#[cfg(feature = "postgres")]
#[test]
fn who_waits_for_a_server_can_be_told_to_stop() {
    let Some(place) = Place::new() else { return };
    // Nothing listens there.
    let printed = place.run(
        "",
        r"url=postgresql://u@127.0.0.1:1/d
          storefs mount --foreground --retry 1h $url m1 2> said & waiting=$!
          until grep -q 'is waited for' said; do sleep 0.05; done
          kill -TERM $waiting; code=0; wait $waiting || code=$?; echo $code
          # In the background, whoever has called it is told so.
          storefs mount --retry 1h --log-file $PWD/log $url m1 & waiting=$!
          until grep -q 'is waited for' log 2>/dev/null; do sleep 0.05; done
          kill -INT $waiting || true; kill -KILL $waiting; wait $waiting || true
          until ! pgrep -x storefs > /dev/null; do sleep 0.05; done
          grep -c ' fuse.storefs ' /proc/mounts || true",
    );
    assert_eq!(printed, "1\n0\n");
}
