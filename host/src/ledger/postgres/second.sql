-- Takes a task in from SQL, in the transaction of whoever calls it: it is there when that commits, and never was where that
-- is rolled back. Answers its id, or that of the task that has the key already with equal arguments. How much a host takes
-- in at most isn't heeded. Waits for other transactions that take the same key.
CREATE FUNCTION @host_enqueue(
    function text,
    args json DEFAULT '{}',
    key text DEFAULT NULL,
    subject text DEFAULT NULL,
    priority integer DEFAULT 5,
    delay interval DEFAULT NULL,
    deadline timestamptz DEFAULT NULL,
    retry_max integer DEFAULT 5,
    retry_base interval DEFAULT '1 second',
    retry_cap interval DEFAULT '1 hour',
    timeout interval DEFAULT NULL,
    result_ttl interval DEFAULT '1 day',
    unique_for interval DEFAULT NULL,
    limit_key text DEFAULT NULL,
    version text DEFAULT NULL
) RETURNS uuid LANGUAGE plpgsql AS $body$
#variable_conflict use_column
DECLARE
    now_ms bigint := floor(extract(epoch FROM clock_timestamp()) * 1000);
    new_id uuid;
    args_digest bytea := sha256(convert_to(host_enqueue.args::text, 'UTF8'));
    holder record;
    number_of integer;
    is_waiting boolean;
    available_ms bigint;
    deadline_ms bigint := floor(extract(epoch FROM host_enqueue.deadline) * 1000);
    unique_ms bigint;
    inserted bigint;
BEGIN
    IF host_enqueue.function IS NULL OR octet_length(host_enqueue.function) NOT BETWEEN 1 AND 128 THEN
        RAISE EXCEPTION 'a function has a name of 1 to 128 bytes' USING ERRCODE = 'invalid_parameter_value';
    ELSIF host_enqueue.args IS NULL THEN
        RAISE EXCEPTION 'a task has arguments: take the JSON null for none' USING ERRCODE = 'invalid_parameter_value';
    ELSIF host_enqueue.priority IS NULL OR host_enqueue.priority NOT BETWEEN 1 AND 9 THEN
        RAISE EXCEPTION 'a priority is 1 to 9' USING ERRCODE = 'invalid_parameter_value';
    ELSIF octet_length(host_enqueue.key) NOT BETWEEN 1 AND 128 OR octet_length(host_enqueue.limit_key) NOT BETWEEN 1 AND 128
        OR octet_length(host_enqueue.version) NOT BETWEEN 1 AND 128 OR octet_length(host_enqueue.subject) NOT BETWEEN 1 AND 128
    THEN
        RAISE EXCEPTION 'key, subject, limit_key and version have 1 to 128 bytes' USING ERRCODE = 'invalid_parameter_value';
    ELSIF host_enqueue.retry_max IS NULL OR host_enqueue.retry_max < 0 OR host_enqueue.retry_base IS NULL
        OR host_enqueue.retry_cap IS NULL OR host_enqueue.result_ttl IS NULL
    THEN
        RAISE EXCEPTION 'retry_max is 0 or more, and retry_base, retry_cap and result_ttl are given'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    available_ms := now_ms + coalesce(greatest(floor(extract(epoch FROM host_enqueue.delay) * 1000), 0), 0);
    unique_ms := now_ms + floor(extract(epoch FROM host_enqueue.unique_for) * 1000);
    is_waiting := available_ms > now_ms;
    -- A UUID of version 7: the time, and then what is random in one of version 4.
    new_id := encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING substring(int8send(now_ms) FROM 3)
        FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid;

    INSERT INTO @function AS known (name, known_at) SELECT host_enqueue.function, now_ms
        WHERE NOT EXISTS (SELECT FROM @function WHERE name = host_enqueue.function) ON CONFLICT DO NOTHING;
    SELECT number INTO STRICT number_of FROM @function WHERE name = host_enqueue.function;

    WHILE host_enqueue.key IS NOT NULL LOOP
        INSERT INTO @taken (function, subject, key, task, digest)
            VALUES (number_of, coalesce(host_enqueue.subject, ''), host_enqueue.key, new_id, args_digest) ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS inserted = ROW_COUNT;
        EXIT WHEN inserted = 1;
        SELECT taken.task, taken.digest = args_digest AS is_equal, live.id IS NOT NULL
            OR coalesce(task.unique_until > now_ms AND task.created_at <= now_ms + 60000, false) AS is_held INTO holder
            FROM @taken AS taken JOIN @task AS task ON task.id = taken.task LEFT JOIN @live AS live ON live.id = taken.task
            WHERE taken.function = number_of AND taken.subject = coalesce(host_enqueue.subject, '')
            AND taken.key = host_enqueue.key FOR UPDATE OF taken;
        -- It was given up in between.
        CONTINUE WHEN NOT FOUND;
        IF holder.is_held AND holder.is_equal THEN
            RETURN holder.task;
        ELSIF holder.is_held THEN
            RAISE EXCEPTION 'the key "%" is taken by the task %, whose arguments differ', host_enqueue.key, holder.task
                USING ERRCODE = 'unique_violation';
        END IF;
        UPDATE @taken AS taken SET task = new_id, digest = args_digest WHERE taken.function = number_of
            AND taken.subject = coalesce(host_enqueue.subject, '') AND taken.key = host_enqueue.key;
        EXIT;
    END LOOP;

    INSERT INTO @task (id, function, priority, retry_on, retry_max, retry_base_ms, retry_cap_ms, created_at, deadline_at,
        timeout_ms, result_ttl_ms, unique_until, at_most_once, args_len, version, limit_key, key, subject, client, args)
    VALUES (new_id, number_of, host_enqueue.priority, 0, host_enqueue.retry_max,
        floor(extract(epoch FROM host_enqueue.retry_base) * 1000), floor(extract(epoch FROM host_enqueue.retry_cap) * 1000),
        now_ms, deadline_ms, floor(extract(epoch FROM host_enqueue.timeout) * 1000),
        floor(extract(epoch FROM host_enqueue.result_ttl) * 1000), unique_ms, false,
        octet_length(host_enqueue.args::text), host_enqueue.version, host_enqueue.limit_key, host_enqueue.key,
        host_enqueue.subject, 'sql:' || session_user, host_enqueue.args);
    INSERT INTO @live (id, function, state, priority, available_at, wake_at, version)
    VALUES (new_id, number_of, CASE WHEN is_waiting THEN 0 ELSE 1 END, host_enqueue.priority, available_ms,
        CASE WHEN is_waiting THEN least(available_ms, deadline_ms) ELSE deadline_ms END, host_enqueue.version);
    INSERT INTO @tally (function, scheduled, available, running, retryable, completed, discarded, cancelled, unknown, stored_len)
    VALUES (number_of, CASE WHEN is_waiting THEN 1 ELSE 0 END, CASE WHEN is_waiting THEN 0 ELSE 1 END, 0, 0, 0, 0, 0, 0,
        octet_length(host_enqueue.args::text));
    RETURN new_id;
END
$body$;
