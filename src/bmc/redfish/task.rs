//! Tasks, for work that goes on after its request was answered.

use http::header;
use serde_json::{Value, json};

use super::message::{Key, Message};
use super::odata::{healthy, link, resource, time};
use super::reply::Reply;
use crate::bmc::task::{Task, TaskState};
use crate::bmc::{Bmc, Now};

fn uri(task: &Task) -> String {
    format!("/redfish/v1/TaskService/Tasks/{}", task.id)
}

fn monitor(id: u32) -> String {
    format!("/redfish/v1/TaskService/TaskMonitors/{id}")
}

/// Returns the service.
pub(super) fn service(now: Now) -> Value {
    resource(
        "TaskService",
        "/redfish/v1/TaskService",
        "TaskService",
        "Task Service",
        json!({
            "ServiceEnabled": true,
            "DateTime": time(now.unix),
            "CompletedTaskOverWritePolicy": "Oldest",
            "LifeCycleEventOnTaskStateChange": false,
            "Status": healthy(),
            "Tasks": link("/redfish/v1/TaskService/Tasks"),
        }),
    )
}

/// Returns a task.
pub(super) fn task(bmc: &Bmc, id: u32) -> Option<Value> {
    let task = bmc.redfish.tasks.get(id)?;
    let (state, status, percent) = match task.state {
        TaskState::Running => ("Running", "OK", 0),
        TaskState::Completed => ("Completed", "OK", 100),
        TaskState::Failed => ("Exception", "Critical", 100),
    };
    let message = match task.state {
        TaskState::Running => None,
        TaskState::Completed => Some(Message::new(Key::Success, &[])),
        TaskState::Failed => Some(Message::new(Key::OperationFailed, &[])),
    };
    let messages: Vec<Value> = message.iter().map(Message::json).collect();
    let mut rest = json!({
        "TaskState": state,
        "TaskStatus": status,
        "PercentComplete": percent,
        "StartTime": time(task.began),
        "TaskMonitor": monitor(id),
        "Messages": messages,
    });
    if let Some(ended) = task.ended {
        rest["EndTime"] = json!(time(ended));
    }
    Some(resource("Task", &uri(task), &id.to_string(), &task.name, rest))
}

/// Returns the reply to a request that became a task.
pub(super) fn accepted(bmc: &Bmc, id: u32) -> Reply {
    let body = task(bmc, id).unwrap_or_default();
    Reply::json(202, &body).with(header::LOCATION, &monitor(id)).with(header::RETRY_AFTER, "1")
}

/// Returns what the monitor of a task answers: that it goes on, or the reply of its request.
pub(super) fn monitored(bmc: &Bmc, id: u32) -> Option<Reply> {
    let task = bmc.redfish.tasks.get(id)?;
    if task.state == TaskState::Running {
        return Some(accepted(bmc, id));
    }
    let (status, body) = &task.answer;
    let mut reply = Reply::empty(*status);
    if !body.is_empty() {
        reply.body = body.clone().into_bytes();
        reply.set(header::CONTENT_TYPE, "application/json;charset=utf-8");
    }
    Some(reply)
}
