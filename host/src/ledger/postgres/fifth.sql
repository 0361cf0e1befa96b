-- What hosts want to know of one another. None of it outlives a crash of the database, and none needs to: who listens says
-- so again, and finds out what was lost.

-- Hosts on which somebody wants to know what other hosts do: how far these tasks are, and, where it watches, each change of
-- each task. It counts until it isn't said again for 15 seconds.
CREATE UNLOGGED TABLE @listener (
    node text PRIMARY KEY,
    until timestamptz NOT NULL,
    watches boolean NOT NULL,
    tasks uuid[] NOT NULL
) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 100,
    autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE @listener ALTER COLUMN tasks SET STORAGE EXTERNAL;

-- How far those tasks are, by the host that runs them. It counts for the run that has the lease. `done` and `total` are 64
-- bits without a sign; the message is UTF-8, which may have what a text here can't.
CREATE UNLOGGED TABLE @progress (
    task uuid PRIMARY KEY,
    lease bigint NOT NULL,
    number bigint NOT NULL,
    done bigint NOT NULL,
    total bigint NOT NULL,
    message bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 100,
    autovacuum_vacuum_cost_delay = 0
);

-- Changes of tasks, written while some host watches, each in the transaction that makes it. Of one task, numbers ascend with
-- time: they are given when the task's row is locked. Of several they needn't, and what has a lower number may appear later;
-- so what is new since a snapshot is found by its transaction, which that snapshot doesn't see.
CREATE UNLOGGED TABLE @change (
    number bigint GENERATED ALWAYS AS IDENTITY,
    txid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    id uuid NOT NULL,
    state smallint NOT NULL,
    function integer NOT NULL,
    subject text,
    cancel_asked boolean NOT NULL
) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX change_txid ON @change (txid);
