//! The cluster of `labs/kubernetes` on hosts, as it is and with one thing broken, and that of `labs/typhoon`.
//!
//! Its image is compiled for minutes, so `ci/nightly slow` runs these tests.

use std::collections::BTreeSet;
use std::fs;

use crate::common::{Home, labs, run, stderr, stdout};
use crate::path;

/// Defines a test for each overlay in `labs/kubernetes/broken`, and a list of them.
macro_rules! broken {
    ($($(#[$attribute:meta])* $test:ident $overlay:literal $said:literal)*) => {
        const BROKEN: &[&str] = &[$($overlay),*];
        $(
            #[test]
            $(#[$attribute])*
            fn $test() {
                let (code, said) = cluster(Some($overlay));
                assert_eq!(code, Some(1), "{said}");
                assert!(said.contains($said), "{said}");
            }
        )*
    };
}

broken! {
    #[ignore = "takes minutes: ci/nightly slow/an_api_server_that_is_down_is_named"]
    an_api_server_that_is_down_is_named
    "no-apiserver" "last probe saw TCP: control: port 6443 refuses connections"
    #[ignore = "takes minutes: ci/nightly slow/a_kubelet_that_stopped_is_named"]
    a_kubelet_that_stopped_is_named
    "no-kubelet" "last probe saw nodes: `worker-1` is not ready"
    #[ignore = "takes minutes: ci/nightly slow/a_lease_that_went_stale_is_named"]
    a_lease_that_went_stale_is_named
    "stale-lease" "last probe saw leases: the kubelet of `worker-1` has stopped, although the node counts as ready"
    #[ignore = "takes minutes: ci/nightly slow/a_node_that_nobody_knows_is_named"]
    a_node_that_nobody_knows_is_named
    "stranger" "last probe saw nodes: `stranger` (10.90.0.66) is no node of the lab"
    #[ignore = "takes minutes: ci/nightly slow/a_pod_that_fits_nowhere_is_named"]
    a_pod_that_fits_nowhere_is_named
    "unschedulable" "last probe saw pods: kube-system/picky is on no node: Unschedulable"
    #[ignore = "takes minutes: ci/nightly slow/another_authority_is_named"]
    another_authority_is_named
    "wrong-authority" "last probe saw TLS: control: port 6443: its certificate is signed by another authority"
}

/// Runs the cluster, with something broken or not; returns the exit code and the output.
fn cluster(broken: Option<&str>) -> (Option<i32>, String) {
    let home = Home::new();
    let folder = labs().join("kubernetes");
    let mut command = home.dryrack(["test", path(&folder.join("hosts.toml"))]);
    if let Some(name) = broken {
        command.arg("--on").arg(folder.join("broken").join(name).with_extension("toml"));
    }
    let tried = run(&mut command);
    home.assert_clean("kubernetes-hosts");
    (tried.status.code(), stdout(&tried) + &stderr(&tried))
}

#[test]
#[ignore = "takes minutes: ci/nightly slow/the_cluster_on_hosts_is_ready"]
fn the_cluster_on_hosts_is_ready() {
    let (code, said) = cluster(None);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
#[ignore = "takes minutes: ci/nightly slow/typhoon_ends_with_a_cluster"]
fn typhoon_ends_with_a_cluster() {
    let home = Home::new();
    let folder = labs().join("typhoon");
    let overlay = folder.join("kubernetes.toml");
    let tried = run(home.dryrack(["test", path(&folder), "--on"]).arg(&overlay));
    assert_eq!(tried.status.code(), Some(0), "{}\n{}", stdout(&tried), stderr(&tried));
    home.assert_clean("typhoon");
}

#[test]
fn every_broken_cluster_has_a_test_and_passes_the_check() {
    let folder = labs().join("kubernetes");
    let files = fs::read_dir(folder.join("broken")).expect("broken").flatten().map(|entry| entry.path());
    let overlays: Vec<_> =
        files.filter(|file| file.extension().is_some_and(|extension| extension == "toml")).collect();
    let names: BTreeSet<_> = overlays
        .iter()
        .map(|file| file.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    assert_eq!(names, BROKEN.iter().map(ToString::to_string).collect());
    for overlay in overlays {
        let home = Home::new();
        let checked = run(home.dryrack(["check", path(&folder.join("hosts.toml")), "--on"]).arg(&overlay));
        assert_eq!(checked.status.code(), Some(0), "{}\n{}", stdout(&checked), stderr(&checked));
    }
}
