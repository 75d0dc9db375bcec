//! The tasks of a BMC: work that goes on after its request was answered.

/// How many finished tasks are kept.
const KEPT: usize = 32;

/// The state of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// It goes on.
    Running,
    /// It is done.
    Completed,
    /// It failed.
    Failed,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its number.
    pub id: u32,
    /// What it does.
    pub name: String,
    /// When it began, in seconds since 1970.
    pub began: u32,
    /// When it ended.
    pub ended: Option<u32>,
    /// Its state.
    pub state: TaskState,
    /// The answer that its request would have got, as status and JSON text; empty for no body.
    pub answer: (u16, String),
}

/// The tasks of a BMC.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tasks {
    all: Vec<Task>,
    last: u32,
}

impl Tasks {
    /// Adds a running task; returns its number.
    pub fn begin(&mut self, unix: u32, name: &str) -> u32 {
        self.last = self.last.wrapping_add(1);
        if self.all.len() >= KEPT
            && let Some(oldest) = self.all.iter().position(|task| task.state != TaskState::Running)
        {
            self.all.remove(oldest);
        }
        self.all.push(Task {
            id: self.last,
            name: name.to_owned(),
            began: unix,
            ended: None,
            state: TaskState::Running,
            answer: (0, String::new()),
        });
        self.last
    }

    /// Ends a task with the answer to its request.
    pub fn end(&mut self, unix: u32, id: u32, status: u16, body: String) {
        if let Some(task) = self.all.iter_mut().find(|task| task.id == id) {
            task.ended = Some(unix);
            task.state = if status < 400 { TaskState::Completed } else { TaskState::Failed };
            task.answer = (status, body);
        }
    }

    /// Returns a task by number.
    pub fn get(&self, id: u32) -> Option<&Task> {
        self.all.iter().find(|task| task.id == id)
    }

    /// Returns the tasks, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Task> {
        self.all.iter()
    }

    /// Forgets a task.
    pub fn remove(&mut self, id: u32) {
        self.all.retain(|task| task.id != id);
    }
}
