-- What is to be done later, and what became of it.
CREATE TABLE jobs (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    payload text NOT NULL,
    status text NOT NULL CHECK (status IN ('queued', 'running', 'done', 'dead', 'cancelled')),
    priority smallint NOT NULL,
    run_at timestamptz NOT NULL,
    attempts integer NOT NULL,
    max_attempts integer NOT NULL,
    unique_key text,
    lease uuid,
    lease_until timestamptz,
    cancelling boolean NOT NULL,
    progress bigint NOT NULL,
    progress_of bigint,
    progress_note text NOT NULL,
    last_error text,
    trace text,
    created_at timestamptz NOT NULL,
    finished_at timestamptz
);
CREATE INDEX jobs_waiting ON jobs (priority DESC, run_at, id) WHERE status = 'queued';
CREATE INDEX jobs_run_at ON jobs (run_at) WHERE status = 'queued';
CREATE INDEX jobs_running ON jobs (lease_until) WHERE status = 'running';
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE UNIQUE INDEX jobs_unique ON jobs (unique_key) WHERE status IN ('queued', 'running');

-- Up to when each schedule was seen to.
CREATE TABLE job_schedules (
    name text PRIMARY KEY,
    last_tick timestamptz NOT NULL
);
