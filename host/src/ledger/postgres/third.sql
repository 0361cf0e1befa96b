-- Which of its transactions each host committed last, so that one whose commit went unanswered finds out.
CREATE TABLE @writer (
    node text PRIMARY KEY,
    transaction bigint NOT NULL
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 100,
    autovacuum_vacuum_cost_delay = 0
);
