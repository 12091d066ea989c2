-- What outlives a restart of Switchboard. Times are milliseconds since the Unix epoch.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- What each server offered when it was last listed.
CREATE TABLE catalogs (
    owner        TEXT NOT NULL,
    server       TEXT NOT NULL,
    fingerprint  TEXT NOT NULL,     -- of the definition that was listed, salted
    hash         TEXT NOT NULL,     -- of the tools
    tools        TEXT NOT NULL,     -- JSON array, as the server sent them
    instructions TEXT,
    listed_at    INTEGER NOT NULL,
    withdrawn_at INTEGER,           -- the server was gone for too long
    PRIMARY KEY (owner, server)
) STRICT;

-- Which exposed name each tool of an owner's view has.
CREATE TABLE names (
    owner    TEXT PRIMARY KEY,
    rules    TEXT NOT NULL,         -- the naming rules that they follow
    assigned TEXT NOT NULL          -- JSON: server -> tool there -> exposed name
) STRICT;

-- The last transitions of each connection, oldest first by id.
CREATE TABLE events (
    id     INTEGER PRIMARY KEY,
    owner  TEXT NOT NULL,
    server TEXT NOT NULL,
    at     INTEGER NOT NULL,
    event  TEXT NOT NULL            -- JSON
) STRICT;

CREATE INDEX events_of_connection ON events (owner, server, id);
