//! A cluster as recorded is ready; with one thing changed, the link that is missing is found.

use std::collections::BTreeMap;

use insta::assert_snapshot;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::kubernetes::objects::Objects;

/// Answers of Kubernetes 1.31, written by hand from its API types (`k8s.io/api` 0.31), of two nodes.
const V1_31: &str = include_str!("../recorded/v1.31.json");

const NODES: &str = "/api/v1/nodes";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const PODS: &str = "/api/v1/namespaces/kube-system/pods";
const DAEMON_SETS: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/kube-system/deployments";

fn list<T: DeserializeOwned>(answers: &Value, path: &str) -> Vec<T> {
    serde_json::from_value::<Objects<T>>(answers[path].clone()).unwrap().items
}

fn cluster(answers: &Value) -> Cluster {
    let workloads = Workloads {
        pods: list(answers, PODS),
        daemon_sets: list(answers, DAEMON_SETS),
        deployments: list(answers, DEPLOYMENTS),
    };
    Cluster {
        version: serde_json::from_value(answers["/version"].clone()).unwrap(),
        now: Some("2026-11-29T10:00:10Z".parse().unwrap()),
        nodes: list(answers, NODES),
        leases: Some(list(answers, LEASES)),
        api_services: list(answers, SERVICES),
        namespaces: BTreeMap::from([("kube-system".to_owned(), workloads)]),
    }
}

fn wanted() -> Wanted {
    let node = |name: &str, address: &str| WantedNode {
        name: name.to_owned(),
        addresses: vec![address.parse().unwrap()],
    };
    Wanted {
        nodes: Some(vec![node("node1", "10.0.2.2"), node("node2", "10.0.2.3")]),
        version: Some("1.31".to_owned()),
        namespaces: vec!["kube-system".to_owned()],
    }
}

/// Judges the answers after a change, and returns the verdict with its evidence.
fn judged(change: impl FnOnce(&mut Value)) -> String {
    let mut answers = serde_json::from_str(V1_31).unwrap();
    change(&mut answers);
    match judge(&cluster(&answers), &wanted()) {
        Ok(seen) => format!("ready: {seen}"),
        Err(missing) => {
            let evidence = missing.evidence.iter().map(|line| format!("\n  {line}"));
            format!("{missing}{}", evidence.collect::<String>())
        }
    }
}

/// Replaces a value by JSON Pointer below an item of a list.
fn set(answers: &mut Value, path: &str, item: usize, pointer: &str, value: Value) {
    *answers[path]["items"][item].pointer_mut(pointer).unwrap() = value;
}

#[test]
fn a_complete_cluster_is_ready() {
    assert_eq!(judged(|_| ()), "ready: Kubernetes v1.31.2, 2 nodes ready, 3 pods in kube-system");
}

#[test]
fn what_is_deleted_failed_or_done_does_not_count() {
    let seen = judged(|answers| {
        let not_ready = json!([{ "type": "Ready", "status": "False" }]);
        set(answers, PODS, 0, "/status/conditions", not_ready.clone());
        answers[PODS]["items"][0]["metadata"]["deletionTimestamp"] = json!("2026-11-29T10:00:00Z");
        set(answers, PODS, 1, "/status/conditions", not_ready);
        set(answers, PODS, 1, "/status/phase", json!("Failed"));
    });
    assert_eq!(seen, "ready: Kubernetes v1.31.2, 2 nodes ready, 1 pod in kube-system");
    let none = judged(|answers| answers[PODS]["items"] = json!([]));
    assert_eq!(none, "pods: there is no pod in kube-system");
}

#[test]
fn the_set_of_nodes_is_exact() {
    assert_snapshot!(judged(|answers| {
        let mut stranger = answers[NODES]["items"][1].clone();
        stranger["metadata"]["name"] = json!("laptop");
        stranger["status"]["addresses"][0]["address"] = json!("10.0.2.77");
        answers[NODES]["items"].as_array_mut().unwrap().push(stranger);
    }));
    assert_snapshot!(judged(|answers| drop(answers[NODES]["items"].as_array_mut().unwrap().remove(1))));
    let twice = judged(|answers| {
        let mut again = answers[NODES]["items"][1].clone();
        again["metadata"]["name"] = json!("old-name");
        answers[NODES]["items"].as_array_mut().unwrap().push(again);
    });
    assert_eq!(twice, "nodes: `node2` (10.0.2.3) and `old-name` (10.0.2.3) all are node `node2` of the lab");
    // By its address, whatever its name is; by its name with a domain, whatever its address is.
    let renamed = judged(|answers| {
        set(answers, NODES, 0, "/metadata/name", json!("ip-10-0-2-2"));
        set(answers, LEASES, 0, "/metadata/name", json!("ip-10-0-2-2"));
        set(answers, NODES, 1, "/metadata/name", json!("node2.cluster.lab"));
        set(answers, NODES, 1, "/status/addresses/0/address", json!("192.168.1.1"));
        set(answers, LEASES, 1, "/metadata/name", json!("node2.cluster.lab"));
    });
    assert!(renamed.starts_with("ready"), "{renamed}");
}

#[test]
fn a_node_that_is_not_ready_says_why() {
    assert_snapshot!(judged(|answers| {
        let ready = answers[NODES]["items"][1]["status"]["conditions"][3].as_object_mut().unwrap();
        ready["status"] = json!("Unknown");
        ready["reason"] = json!("NodeStatusUnknown");
        ready["message"] = json!("Kubelet stopped posting node status.");
        set(answers, NODES, 1, "/status/conditions/1/status", json!("True"));
    }));
    assert_snapshot!(judged(|answers| answers[NODES]["items"][0]["spec"]["unschedulable"] = json!(true)));
}

#[test]
fn a_stale_lease_is_seen_although_the_node_counts_as_ready() {
    assert_snapshot!(judged(|answers| {
        set(answers, LEASES, 1, "/spec/renewTime", json!("2026-11-29T09:59:15.000000Z"));
    }));
    assert_snapshot!(judged(|answers| drop(answers[LEASES]["items"].as_array_mut().unwrap().remove(0))));
}

#[test]
fn versions_are_those_of_the_api_server_and_of_each_kubelet() {
    assert_eq!(
        judged(|answers| answers["/version"]["gitVersion"] = json!("v1.30.6+k3s1")),
        "version: the API server is v1.30.6+k3s1, not 1.31"
    );
    assert_eq!(
        judged(|answers| set(answers, NODES, 1, "/status/nodeInfo/kubeletVersion", json!("v1.30.6"))),
        "version: the kubelet of `node2` is v1.30.6, not 1.31"
    );
    assert!(
        is_version("v1.31.2", "1.31") && is_version("v1.31.2+k3s1", "v1.31.2") && is_version("v1.3", "1")
    );
    assert!(
        !is_version("v1.310.0", "1.31") && !is_version("v1.3.1", "1.31") && !is_version("v1.31.22", "1.31.2")
    );
}

#[test]
fn a_pod_that_waits_says_for_what() {
    assert_snapshot!(judged(|answers| {
        set(answers, PODS, 0, "/status/phase", json!("Pending"));
        set(answers, PODS, 0, "/status/containerStatuses", json!([]));
        set(
            answers,
            PODS,
            0,
            "/status/conditions",
            json!([{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                     "message": "0/2 nodes are available: 2 Insufficient memory." }]),
        );
        set(answers, PODS, 2, "/status/conditions/2/status", json!("False"));
        set(answers, PODS, 2, "/status/containerStatuses/0/ready", json!(false));
        set(answers, PODS, 2, "/status/containerStatuses/0/restartCount", json!(3));
        set(
            answers,
            PODS,
            2,
            "/status/containerStatuses/0/state",
            json!({ "waiting": { "reason": "ImagePullBackOff", "message": "Back-off pulling image \"kube-proxy\"" } }),
        );
    }));
}

#[test]
fn workloads_and_groups_of_the_api_are_complete() {
    assert_snapshot!(judged(|answers| set(answers, DAEMON_SETS, 0, "/status/numberReady", json!(1))));
    assert_snapshot!(judged(|answers| {
        set(answers, DEPLOYMENTS, 0, "/spec/replicas", json!(2));
        set(answers, DEPLOYMENTS, 0, "/status/updatedReplicas", json!(2));
        set(answers, DEPLOYMENTS, 0, "/status/conditions/1/status", json!("False"));
        set(answers, DEPLOYMENTS, 0, "/status/conditions/1/reason", json!("ProgressDeadlineExceeded"));
    }));
    assert_snapshot!(judged(|answers| set(answers, DEPLOYMENTS, 0, "/metadata/generation", json!(2))));
    assert_snapshot!(judged(|answers| {
        let condition = json!([{ "type": "Available", "status": "False", "reason": "FailedDiscoveryCheck",
                                 "message": "no response from https://10.96.0.1:443" }]);
        set(answers, SERVICES, 2, "/status/conditions", condition);
    }));
}

#[test]
fn warnings_about_what_is_wrong_are_evidence() {
    let event = |name: &str, message: &str, at: &str| Event {
        involved_object: serde_json::from_value(json!({ "kind": "Pod", "name": name })).unwrap(),
        reason: "FailedScheduling".to_owned(),
        message: message.to_owned(),
        count: 3,
        last_timestamp: Some(at.parse().unwrap()),
        event_time: None,
    };
    let mut missing = Missing::new(Link::Pods, "a pod");
    missing.about = vec!["one".to_owned()];
    missing.add_warnings(&[
        event("one", "later", "2026-11-29T10:00:02Z"),
        event("another", "unrelated", "2026-11-29T10:00:01Z"),
        event("one", "earlier", "2026-11-29T10:00:00Z"),
    ]);
    assert_eq!(
        missing.evidence,
        [
            "event pod one: FailedScheduling: earlier (3 times)",
            "event pod one: FailedScheduling: later (3 times)"
        ]
    );
}

#[test]
fn nothing_is_required_to_be_there() {
    // As Go writes empty lists, and an object of a version that knows other fields.
    let objects: Objects<Pod> = serde_json::from_str(r#"{ "items": null }"#).unwrap();
    assert!(objects.items.is_empty());
    let node: Node = serde_json::from_str(r#"{ "status": { "conditions": null, "new": 1 } }"#).unwrap();
    let cluster = Cluster { nodes: vec![node], ..Cluster::default() };
    let missing = judge(&cluster, &Wanted::default()).unwrap_err();
    assert_eq!(missing.to_string(), "nodes: `` is not ready: it has no condition `Ready`");
}
