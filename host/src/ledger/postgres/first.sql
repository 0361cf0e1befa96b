-- Numbers of states are those of the host's `State::index`. Times are milliseconds of Unix time.

CREATE TABLE @function (
    number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    paused boolean NOT NULL DEFAULT false,
    known_at bigint NOT NULL
);

-- What of a task doesn't change while it waits and runs.
CREATE TABLE @task (
    id uuid PRIMARY KEY,
    function integer NOT NULL,
    priority smallint NOT NULL,
    retry_on smallint NOT NULL,
    retry_max bigint NOT NULL,
    retry_base_ms bigint NOT NULL,
    retry_cap_ms bigint NOT NULL,
    created_at bigint NOT NULL,
    deadline_at bigint,
    timeout_ms bigint,
    result_ttl_ms bigint NOT NULL,
    unique_until bigint,
    parent uuid,
    at_most_once boolean NOT NULL,
    args_len bigint NOT NULL,
    version text,
    limit_key text,
    key text,
    subject text,
    batch text,
    traceparent text,
    client text,
    args json
);
CREATE INDEX task_key ON @task (key, id) WHERE key IS NOT NULL;
CREATE INDEX task_subject ON @task (subject, id) WHERE subject IS NOT NULL;

-- A task that hasn't finished: narrow, since each change of state writes its row anew.
-- `wake_at` is when time alone changes it; of an available one, that is its deadline.
CREATE TABLE @live (
    id uuid PRIMARY KEY,
    function integer NOT NULL,
    state smallint NOT NULL,
    priority smallint NOT NULL,
    tries integer NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    lease bigint NOT NULL DEFAULT 0,
    available_at bigint NOT NULL,
    wake_at bigint,
    claimed_at bigint,
    cancel_asked boolean NOT NULL DEFAULT false,
    version text,
    node text,
    run_version text
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 100,
    autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX live_ready ON @live (function, priority, id) WHERE state = 1;
CREATE INDEX live_running ON @live (node, id) WHERE state = 2;
CREATE INDEX live_wake ON @live (wake_at, id) WHERE wake_at IS NOT NULL;

-- A task that has finished, until it is forgotten.
CREATE TABLE @ended (
    id uuid PRIMARY KEY,
    state smallint NOT NULL,
    tries integer NOT NULL,
    attempts integer NOT NULL,
    lease bigint NOT NULL,
    available_at bigint NOT NULL,
    claimed_at bigint,
    ended_at bigint NOT NULL,
    forget_at bigint,
    result_len bigint NOT NULL,
    result json
);
CREATE INDEX ended_forget ON @ended (forget_at, id) WHERE forget_at IS NOT NULL;
CREATE INDEX ended_rare ON @ended (state, id) WHERE state > 4;

-- The attempts that counted, but for one that runs.
CREATE TABLE @attempt (
    task uuid NOT NULL,
    number integer NOT NULL,
    started_at bigint NOT NULL,
    ended_at bigint NOT NULL,
    node text NOT NULL,
    version text NOT NULL,
    error json,
    PRIMARY KEY (task, number)
);

-- Keys that another task can't have now; of no subject the empty text. `digest` is the SHA-256 of the arguments.
CREATE TABLE @taken (
    function integer NOT NULL,
    subject text NOT NULL,
    key text NOT NULL,
    task uuid NOT NULL,
    digest bytea NOT NULL,
    PRIMARY KEY (function, subject, key)
);

-- How many tasks there are: the sum of all rows. Each transaction adds what it changed, so that none waits for another;
-- sweeps fold them together.
CREATE TABLE @tally (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    function integer NOT NULL,
    scheduled bigint NOT NULL,
    available bigint NOT NULL,
    running bigint NOT NULL,
    retryable bigint NOT NULL,
    completed bigint NOT NULL,
    discarded bigint NOT NULL,
    cancelled bigint NOT NULL,
    unknown bigint NOT NULL,
    stored_len bigint NOT NULL
) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 100,
    autovacuum_vacuum_cost_delay = 0
);

-- Hosts; `dead_at` is when others noticed that one says nothing any more. By the database's clock.
CREATE TABLE @node (
    id text PRIMARY KEY,
    name text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    beat_at timestamptz NOT NULL DEFAULT now(),
    dead_at timestamptz,
    about json
);
