//! The functions, described for `OpenAPI` 3.1 and for the console.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::schema;
use crate::access::Identity;
use crate::gateway::Gateway;
use crate::upstream::Function;

/// The functions that this client may call, as the console wants them.
pub(super) fn functions(gateway: &Gateway, identity: &Identity) -> Bytes {
    let list: Vec<_> = allowed(gateway, identity)
        .iter()
        .map(|function| {
            json!({
                "name": function.name,
                "plugin": function.plugin,
                "version": function.version,
                "description": function.description,
                "args_schema": function.args_schema,
                "result_schema": function.result_schema,
                "timeout_ms": function.timeout_ms,
            })
        })
        .collect();
    json!({ "functions": list }).to_string().into()
}

/// The document for this client: `POST /tasks` takes one schema for each function.
pub(super) fn document(gateway: &Gateway, identity: &Identity) -> Bytes {
    let functions = allowed(gateway, identity);
    let filled = gateway.access.filled_args();
    let mut schemas = Map::new();
    schemas.insert("Error".to_owned(), error_schema());
    for function in &functions {
        add_schemas(function, &filled, &mut schemas);
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Task gateway",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Hands tasks to handlers, and answers when they are done.",
        },
        // Relative to the document, which may lie under a proxy's path.
        "servers": [{"url": "."}],
        "paths": {"/tasks": {"post": {
            "operationId": "runTask",
            "summary": "Run a task and wait for its answer",
            "parameters": [{
                "name": "stream", "in": "query", "schema": {"type": "string"},
                "description": "With `1`, the answer comes as server-sent events: `progress` any number of times, then `result` or `error`.",
            }],
            "requestBody": {"required": true, "content": {"application/json": {"schema": request_schema(&functions)}}},
            "responses": responses(&functions),
        }}},
        "components": {"schemas": schemas},
    });
    if gateway.access.is_required() {
        document["components"]["securitySchemes"] =
            json!({"token": {"type": "http", "scheme": "bearer"}});
        document["security"] = json!([{"token": []}]);
    }
    document.to_string().into()
}

/// Adds the schemas of a function's args, result, request and reply.
fn add_schemas(function: &Function, filled: &[Vec<String>], schemas: &mut Map<String, Value>) {
    let mut part = |what: &str, schema: &Value| {
        let name = schema_name(function, what);
        let base = reference(&name);
        let mut schema = schema::rebased(schema, &base);
        if what == "args" {
            schema::without_required(&mut schema, filled);
        }
        let needs_something = schema::refuses_nothing_given(&schema);
        schemas.insert(name, schema);
        (json!({ "$ref": base }), needs_something)
    };
    let (args, needs_args) = part("args", &function.args_schema);
    let (result, _) = part("result", &function.result_schema);
    let required: &[&str] = if needs_args {
        &["function", "args"]
    } else {
        &["function"]
    };
    let mut properties = json!({
        "function": {"const": function.name},
        "args": args,
        "id": id_schema("A name for the request, which the answer carries."),
        "timeout_ms": {"type": "integer", "minimum": 1, "description": "The most that the task may take, in milliseconds."},
    });
    for refused in protocol::BACKGROUND_FIELDS {
        properties[refused] = Value::Bool(false);
    }
    schemas.insert(
        schema_name(function, "request"),
        json!({
            "type": "object",
            "description": function.description,
            "required": required,
            "properties": properties,
        }),
    );
    schemas.insert(
        schema_name(function, "reply"),
        json!({
            "type": "object",
            "required": ["ok", "result"],
            "properties": {"id": id_schema("As in the request."), "ok": {"const": true}, "result": result},
        }),
    );
}

fn id_schema(description: &str) -> Value {
    json!({
        "description": description,
        "oneOf": [
            {"type": "string", "minLength": 1, "maxLength": 64},
            {"type": "integer", "minimum": i64::MIN, "maximum": u64::MAX},
        ],
    })
}

fn request_schema(functions: &[Function]) -> Value {
    if functions.is_empty() {
        return json!({"type": "object", "description": "No function is allowed here."});
    }
    let mapping: Map<_, _> = functions
        .iter()
        .map(|function| {
            let schema = reference(&schema_name(function, "request"));
            (function.name.clone(), schema.into())
        })
        .collect();
    json!({
        "oneOf": references(functions, "request"),
        "discriminator": {"propertyName": "function", "mapping": mapping},
    })
}

fn responses(functions: &[Function]) -> Value {
    let reply_schema = if functions.is_empty() {
        json!({"type": "object"})
    } else {
        json!({"anyOf": references(functions, "reply")})
    };
    let failure = |description: &str| {
        json!({
            "description": description,
            "content": {"application/json": {"schema": {"$ref": reference("Error")}}},
        })
    };
    let for_now = |description: &str| {
        let mut response = failure(description);
        response["headers"] = json!({"Retry-After": {
            "description": "Seconds after which to try again.",
            "schema": {"type": "integer", "minimum": 1},
        }});
        response
    };
    let plain = |description: &str| {
        json!({
            "description": description,
            "content": {"text/plain": {"schema": {"type": "string"}}},
        })
    };
    json!({
        "200": {"description": "The task has succeeded; as server-sent events, it has begun.", "content": {
            "application/json": {"schema": reply_schema},
            "text/event-stream": {"schema": {"type": "string"}},
        }},
        "400": {"description": "The request is wrong.", "content": {
            "application/json": {"schema": {"$ref": reference("Error")}},
            "text/plain": {"schema": {"type": "string"}},
        }},
        "401": plain("A token is needed, or is not valid."),
        "403": plain("The page's origin, or the host's name, is not allowed."),
        "404": failure("There is no such function, or it is not allowed."),
        "409": failure("The task was cancelled."),
        "413": failure("The request is too long."),
        "415": plain("The request is not plain JSON."),
        "422": failure("The arguments are not what the function takes."),
        "429": for_now("Too many tasks; `Retry-After` says when to try again."),
        "500": failure("The handler has failed."),
        "502": failure("The handler's process, or its host, has died."),
        "503": for_now("No host can take the task now."),
        "504": failure("The task's time was up."),
    })
}

/// References to a schema of each function.
fn references(functions: &[Function], what: &str) -> Vec<Value> {
    functions
        .iter()
        .map(|function| json!({ "$ref": reference(&schema_name(function, what)) }))
        .collect()
}

fn reference(name: &str) -> String {
    format!("#/components/schemas/{name}")
}

fn schema_name(function: &Function, what: &str) -> String {
    format!("{}.{what}", component(&function.name))
}

fn allowed(gateway: &Gateway, identity: &Identity) -> Vec<Function> {
    gateway
        .upstream
        .catalogue()
        .borrow()
        .functions
        .values()
        .filter(|function| identity.may_call(&function.name))
        .cloned()
        .collect()
}

/// A name with only those characters that `OpenAPI` allows in the names of components.
fn component(name: &str) -> String {
    let mut component = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') {
            component.push(c);
        } else {
            component.push_str(&format!("-x{:x}.", u32::from(c)));
        }
    }
    component
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "required": ["ok", "error"],
        "properties": {
            "id": id_schema("As in the request."),
            "ok": {"const": false},
            "error": {
                "type": "object",
                "required": ["code", "message", "retryable", "started"],
                "properties": {
                    "code": {"type": "string", "description": "One of the protocol's codes."},
                    "message": {"type": "string", "description": "For a human."},
                    "retryable": {"type": "boolean", "description": "The same request may succeed later."},
                    "started": {"type": "boolean", "description": "The work may have begun."},
                    "data": {"description": "More for programs."},
                },
            },
        },
    })
}
