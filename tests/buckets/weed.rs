//! SeaweedFS in several processes: a master, three servers of volumes of which two have each object, a filer, and two
//! gateways. Each can be killed and started again.

#![allow(dead_code)]

use std::fs;
use std::path::Path;

use crate::common::buckets::{
    IDENTITIES, Place, Processes, free_ports, make_bucket, or_skipped, programs, tried,
};

/// A cluster. It is stopped when this is dropped.
pub(crate) struct Cluster {
    processes: Processes,
    gateways: [u16; 2],
    /// The ports of the filer's HTTP and of its own clients.
    filer: [u16; 2],
    /// Those of all volume servers' HTTP.
    volumes: [u16; 3],
}

impl Cluster {
    /// One of a test's own, with the bucket of all; `None`, said aloud, where there is none on this machine.
    #[track_caller]
    pub(crate) fn start() -> Option<Self> {
        let programs = or_skipped(programs())?;
        let cluster = tried(|| Self::try_start(Processes::new(&programs)));
        make_bucket(cluster.gateways[0], crate::common::buckets::BUCKET);
        Some(cluster)
    }

    fn try_start(processes: Processes) -> Option<Self> {
        let [master, master_grpc, filer, filer_grpc, s3, s3_grpc, other, other_grpc] = free_ports();
        let volumes: [u16; 6] = free_ports();
        let directory = processes.directory.display().to_string();
        fs::write(processes.directory.join("s3.json"), IDENTITIES).unwrap();
        let masters = format!("-master=127.0.0.1:{master}.{master_grpc}");
        let run = |name: &str, ports: [u16; 2], arguments: &[String]| {
            let kind = name.split('-').next().unwrap();
            fs::create_dir_all(processes.directory.join(name)).unwrap();
            processes.has_socket(kind, ports[1]);
            let own = [
                "-logtostderr=true".to_owned(),
                kind.to_owned(),
                "-ip.bind=127.0.0.1".to_owned(),
                format!("-port={}", ports[0]),
                format!("-port.grpc={}", ports[1]),
            ];
            processes.start(name, "weed", &[&own, arguments].concat());
            processes.answers(name, ports[0])
        };
        let ip = || "-ip=127.0.0.1".to_owned();
        let is_up = run(
            "master",
            [master, master_grpc],
            &[
                ip(),
                format!("-mdir={directory}/master"),
                "-defaultReplication=001".to_owned(),
                "-telemetry=false".to_owned(),
                "-volumeSizeLimitMB=256".to_owned(),
            ],
        ) && (0..3).all(|number| {
            let name = format!("volume-{number}");
            let [port, grpc] = [volumes[2 * number], volumes[2 * number + 1]];
            let (data, most) = (format!("-dir={directory}/{name}"), "-max=20".to_owned());
            run(&name, [port, grpc], &[ip(), data, most, masters.clone()])
        }) && run(
            "filer",
            [filer, filer_grpc],
            &[
                ip(),
                masters.clone(),
                "-defaultReplicaPlacement=001".to_owned(),
                format!("-defaultStoreDir={directory}/filer"),
                format!("-localSocket={directory}/filer.sock"),
            ],
        ) && [("s3-0", [s3, s3_grpc]), ("s3-1", [other, other_grpc])].into_iter().all(
            |(name, ports)| {
                let own = [
                    format!("-filer=127.0.0.1:{filer}.{filer_grpc}"),
                    format!("-config={directory}/s3.json"),
                    "-port.iceberg=0".to_owned(),
                    "-port.lance=0".to_owned(),
                    format!("-localSocket={directory}/{name}.sock"),
                ];
                run(name, ports, &own)
            },
        );
        let volumes = [volumes[0], volumes[2], volumes[4]];
        let (gateways, filer) = ([s3, other], [filer, filer_grpc]);
        is_up.then_some(Self { processes, gateways, filer, volumes })
    }

    /// A place where nothing is yet, by one of the gateways.
    pub(crate) fn place(&self, gateway: usize) -> Place {
        Place::fresh(self.gateways[gateway])
    }

    pub(crate) fn gateway(&self, number: usize) -> u16 {
        self.gateways[number]
    }

    /// The filer, as the programs of SeaweedFS name it.
    pub(crate) fn filer(&self) -> String {
        let [port, grpc] = self.filer;
        format!("127.0.0.1:{port}.{grpc}")
    }

    /// Where its processes keep their files.
    pub(crate) fn directory(&self) -> &Path {
        &self.processes.directory
    }

    /// Kills a process at once: `volume-0` to `volume-2`, `s3-0`, `s3-1`, `filer`, `master`.
    pub(crate) fn kill(&self, name: &str) {
        self.processes.kill(name);
    }

    /// Starts it again after that, and waits until it answers.
    #[track_caller]
    pub(crate) fn start_again(&self, name: &str) {
        self.processes.start_again(name);
        let number = |name: &str| name.rsplit('-').next().and_then(|it| it.parse::<usize>().ok());
        let port = match name.split('-').next() {
            Some("s3") => self.gateways[number(name).unwrap()],
            Some("volume") => self.volumes[number(name).unwrap()],
            _ => panic!("{name} cannot be waited for"),
        };
        assert!(self.processes.answers(name, port), "{}", self.processes.said(name));
    }
}
