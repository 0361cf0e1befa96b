//! Types of the author's own that are named like ours.

use plugin_api::{TaskError, plugin, testing};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize, JsonSchema)]
struct Task {
    title: String,
}

#[derive(Deserialize, JsonSchema)]
struct Completion {
    done: bool,
}

type Result<T> = std::result::Result<T, TaskError>;

#[derive(Default)]
struct List;

#[plugin]
impl List {
    #[handler]
    fn add(&self, args: Task, task: &plugin_api::Task) -> Result<String> {
        task.check()?;
        Ok(args.title)
    }

    #[handler]
    fn complete(&self, args: Completion) -> Result<bool> {
        Ok(args.done)
    }

    #[handler]
    fn later(&self, args: Task, completion: plugin_api::Completion<String>) {
        completion.complete(Ok(args.title));
    }
}

fn main() {
    let list = testing::open::<List>(()).unwrap();
    for function in ["add", "later"] {
        assert_eq!(list.call(function, json!({"title": "t"})).unwrap(), "t");
    }
    assert_eq!(list.call("complete", json!({"done": true})).unwrap(), true);
}
