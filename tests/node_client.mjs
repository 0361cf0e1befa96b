// A client of the gateway in Node, by the client library as it is installed, and Node's own WebSocket.
//
//     node node_client.mjs PORT
//
// Says `ok` when all was as it should be, and what was not otherwise.

import assert from "node:assert/strict";

import { TaskClient, TaskError } from "task-gateway-client";

const url = `ws://127.0.0.1:${process.argv[2]}/ws`;
const tasks = new TaskClient({ url });

assert.equal(await tasks.run("echo", "Grüße 🎉"), "Grüße 🎉");
assert.equal(tasks.state, "open");
assert.deepEqual(tasks.functions, ["echo", "fail", "progress", "sleep"]);

const long = "x".repeat(1_000_000);
assert.equal(await tasks.run("echo", long), long);

// More than the gateway lets be in flight: the rest waits here.
assert.equal(tasks.limits.in_flight_max, 256);
const many = await Promise.all(Array.from({ length: 1000 }, (_, number) => tasks.run("echo", { number })));
assert.deepEqual(many.map(({ number }) => number), Array.from({ length: 1000 }, (_, number) => number));

// Longer than the gateway takes: refused here, so that the connection lasts, and with it what others do.
const meanwhile = tasks.run("sleep", { ms: 300 });
await assert.rejects(tasks.run("echo", "ü".repeat(5_000_000)), (error) => error.code === "too_large" && !error.started);
assert.ok((await meanwhile).slept_ms >= 300);

const steps = [];
const result = await tasks.run("progress", { steps: 5, ms: 20 }, { onProgress: ({ done, total }) => steps.push([done, total]) });
assert.equal(result, 5);
assert.ok(steps.length > 0 && steps.every(([done, total], at) => total === 5 && (at === 0 || done > steps[at - 1][0])), steps);

const abort = new AbortController();
const sleeping = tasks.run("sleep", { ms: 600_000 }, { signal: abort.signal, onAccepted: () => abort.abort() });
await assert.rejects(sleeping, (error) => error instanceof TaskError && error.code === "cancelled");

await assert.rejects(tasks.run("fail", { kind: "k", message: "m", data: [1] }), ({ code, message, data }) => {
  assert.equal(code, "handler_failed");
  assert.equal(message, "m");
  assert.deepEqual(data, { kind: "k", data: [1] });
  return true;
});
await assert.rejects(tasks.run("sleep", { ms: 600_000 }, { timeout: 50 }), { code: "timeout" });
await assert.rejects(tasks.run("big", {}), { code: "unknown_function" });

const left = tasks.run("sleep", { ms: 600_000 });
tasks.close();
await assert.rejects(left, { code: "closed" });
await assert.rejects(tasks.run("echo", 1), { code: "closed" });
console.log("ok");
