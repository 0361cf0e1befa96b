// graphile-worker, as the benchmark runs it:
//
//   node graphile.mjs FOLDER work URL                      makes its tables, says "ready", and works until it is ended
//   node graphile.mjs FOLDER add URL SUBMITTERS SECONDS    each adds a job when its last one is in; says how many all were
//
// FOLDER is where npm has installed it. The settings are those that its documentation advises for many short jobs: jobs are
// fetched, and said to be done, several at a time.
import { pathToFileURL } from "node:url";

const [folder, command, url, submitters, seconds] = process.argv.slice(2);
const from = (file) => import(pathToFileURL(`${folder}/node_modules/${file}`));
// Standard output is for what is asked for.
console.log = console.info = console.error;
const say = (text) => process.stdout.write(`${text}\n`);
const payload = { text: "x".repeat(64) };

async function work() {
    const { Logger, run } = await from("graphile-worker/dist/index.js");
    await run({
        connectionString: url,
        noHandleSignals: true,
        taskList: { echo: async (args) => args },
        preset: {
            worker: {
                concurrentJobs: 24,
                maxPoolSize: 26,
                pollInterval: 100,
                localQueue: { size: 200 },
                completeJobBatchDelay: 0,
                failJobBatchDelay: 0,
            },
        },
        crontab: "",
        logger: new Logger(() => () => {}),
    });
    say("ready");
}

async function add() {
    const { default: pg } = await from("pg/lib/index.js");
    const pool = new pg.Pool({ connectionString: url, max: Number(submitters) });
    let added = 0;
    const text = JSON.stringify(payload);
    const until = performance.now() + Number(seconds) * 1000;
    const submitter = async () => {
        while (performance.now() < until) {
            await pool.query({
                name: "add",
                text: "SELECT graphile_worker.add_job('echo', $1::json)",
                values: [text],
            });
            added += 1;
        }
    };
    await Promise.all(Array.from({ length: Number(submitters) }, submitter));
    await pool.end();
    say(added);
}

await (command === "work" ? work() : add());
